"""Recordings tell nothing of the machine they were made on."""

from __future__ import annotations

import json
import re

import pytest

from tests.goldens.replaying import FOLDER
from tests.goldens.scrub import scrubbed


def test_the_same_id_becomes_the_same_number():
    one, other = (f"0b6a3a5e-1111-4222-8333-{n:012x}" for n in (1, 2))
    requests = [{"id": f"msg_{one}", "session": one, "other": other, "s": "ses_e01d419d2ffer60vvh"}]
    assert scrubbed(requests, {}) == [
        {
            "id": "msg_00000000-0000-7000-8000-000000000001",
            "session": "00000000-0000-7000-8000-000000000001",
            "other": "00000000-0000-7000-8000-000000000002",
            "s": "ses_00000000000000000000000001",
        }
    ]


def test_places_and_moments_are_replaced_the_longer_place_first():
    requests = [{"cwd": "/tmp/x/y/project", "home": "/tmp/x", "date": "on 2031-05-06, at 7"}]
    assert scrubbed(requests, {"/tmp/x": "/home/user", "/tmp/x/y": "/home/user/y"}) == [
        {"cwd": "/home/user/y/project", "home": "/home/user", "date": "on 2026-01-01, at 7"}
    ]


@pytest.mark.parametrize("name", ["codex.json", "opencode.json"])
def test_a_golden_is_small_and_clean(name: str):
    text = (FOLDER / name).read_text("utf-8")
    assert len(text) < 100_000
    assert json.loads(text)
    assert not re.search(r"/tmp/tmp|127\.0\.0\.1:|localhost:|authorization", text)
    assert all(
        found.startswith("00000000-") for found in re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", text)
    )
