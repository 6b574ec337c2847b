"""`lair stats` and `lair wrapped` against a real lair: what was asked is counted, and leaves."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Lair, eventually, lair_environment

USER = "=ana"
ZONE = "Asia/Kathmandu"


def ran(lair: Lair, folder: Path, *command: str) -> str:
    """Run a command that must succeed; return what it printed."""
    options = ["--port", str(lair.port), "--data-dir", str(lair.log.parent / "data")]
    done = subprocess.run(
        [sys.executable, "-m", "launcher", *command, *options],
        cwd=folder,
        env=lair_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def asked(lair: Lair) -> list[Any]:
    """Three chats of one user, which are counted."""
    replies = [lair.chat(f"Number {n}", X_User_ID=USER) for n in range(3)]

    def counted() -> bool:
        found = lair.get("/metrics/dashboard", X_User_ID=USER)
        return bool(found["requests"] == 3)

    eventually(counted, seconds=20, what="all three are counted")
    return replies


def test_stats_show_what_was_asked_today(lair: Lair, asked: list[Any], tmp_path: Path) -> None:
    options = ("stats", "--user", USER, "--tz", ZONE, "--days", "30")
    told = json.loads(ran(lair, tmp_path, *options, "--json"))
    assert told["dashboard"]["requests"] == 3
    assert told["dashboard"]["tokens"]["total"] == sum(
        reply["usage"]["total_tokens"] for reply in asked
    )
    assert len(told["activity"]["days"]) == 30
    shown = ran(lair, tmp_path, *options)
    for text in (ZONE, f"user {USER}", "requests  3", "100%", "current 1 day", "█", "tiny"):
        assert text in shown


def test_an_export_has_every_request_once_and_says_so(
    lair: Lair, asked: list[Any], tmp_path: Path
) -> None:
    ran(lair, tmp_path, "stats", "export", "-o", "usage.zip", "--user", USER, "--tz", ZONE)
    with zipfile.ZipFile(tmp_path / "usage.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files["manifest.json"])
    assert (manifest["schema_version"], manifest["time_zone"]) == (1, ZONE)
    for each in manifest["files"]:
        assert each["sha256"] == hashlib.sha256(files[each["name"]]).hexdigest()
        assert each["rows"] == 3
    rows = list(csv.DictReader(io.StringIO(files["requests.csv"].decode(), newline="")))
    lines = [json.loads(line) for line in files["requests.jsonl"].splitlines()]
    assert [row["request_id"] for row in rows] == [line["request_id"] for line in lines]
    for row, line in zip(rows, lines, strict=True):
        assert (row["user_id"], line["user_id"]) == (f"'{USER}", USER)
        assert row["local_time"].endswith("+05:45")
        assert datetime.fromisoformat(row["local_time"]) == datetime.fromisoformat(row["time"])
    assert sorted(line["total_tokens"] for line in lines) == sorted(
        reply["usage"]["total_tokens"] for reply in asked
    )


def test_a_year_is_drawn(lair: Lair, asked: list[Any], tmp_path: Path) -> None:
    assert len(asked) == 3
    assert ran(lair, tmp_path, "wrapped", "-o", "card.png", "--user", USER) == "wrote card.png\n"
    assert (tmp_path / "card.png").read_bytes()[:4] == b"\x89PNG"
    ran(lair, tmp_path, "wrapped", "-o", "card.svg", "--user", USER, "--private")
    drawing = (tmp_path / "card.svg").read_text("utf-8")
    assert "model 1" in drawing
    assert "tiny" not in drawing
