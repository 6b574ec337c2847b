"""Requests as files: nothing is lost on the way, nothing in them is a formula."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lair.common.v1.caller_pb2 import IDENTITY_SOURCE_HEADER, IdentitySource
from lair.metrics.v1 import report_service_pb2 as report
from metrics_svc.exporting.columns import ATTEMPT, IDENTITY_SOURCES, REQUEST
from metrics_svc.exporting.export import Form, exported
from metrics_svc.exporting.writers import csv_lines, inert
from metrics_svc.model import Attempt, CostSource, Page, Position, RequestRow, Scope, Status, Tokens
from metrics_svc.storage.sqlite import open_store
from tests.metrics.events import HOUR_US, NOW_US, record, row, running, uuid
from tests.metrics.test_service import recorded, refused

KATHMANDU = ZoneInfo("Asia/Kathmandu")
NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
EVIL = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "'=1", "'")

FULL = row(
    2,
    NOW_US - HOUR_US,
    user="ana",
    project="=cmd()",
    session="s",
    conversation="c",
    key="k",
    client="cli",
    user_source=IDENTITY_SOURCE_HEADER,
    endpoint="/v1/chat/completions",
    model_requested="auto",
    model_used="Tee, für\nzwei",
    backend="b",
    local=True,
    status=Status.TIMEOUT,
    http_code=504,
    error_reason="TIMEOUT",
    streamed=True,
    tokens=Tokens(prompt=3, completion=4, total=7, cached=1),
    duration_us=5,
    billed_nano=6,
    cost_nano=6,
    cost_source=CostSource.BILLED,
    device_watts=1.5,
    retry_of=uuid(9),
    attempts=(
        Attempt(
            backend="a",
            model="m",
            status=Status.RATE_LIMITED,
            http_code=429,
            duration_us=1,
            error="x",
        ),
        Attempt(
            backend="b", model="m", status=Status.TIMEOUT, http_code=0, duration_us=2, error=""
        ),
    ),
)


# What CSV says of it in Kathmandu.
TOLD = {
    "request_id": str(FULL.request_id),
    "time": "2026-11-21T09:30:00.000000Z",
    "local_time": "2026-11-21T15:15:00.000000+05:45",
    "user_id": "ana",
    "project": "'=cmd()",
    "session_id": "s",
    "conversation_id": "c",
    "key_id": "k",
    "client": "cli",
    "user_source": "header",
    "project_source": "",
    "session_source": "",
    "endpoint": "/v1/chat/completions",
    "origin": "client",
    "requested_model": "auto",
    "model": "Tee, für\nzwei",
    "backend": "b",
    "local": "true",
    "status": "timeout",
    "http_status": "504",
    "error_reason": "TIMEOUT",
    "finish_reason": "",
    "streamed": "true",
    "tool_calls": "0",
    "new_messages": "0",
    "prompt_tokens": "3",
    "completion_tokens": "4",
    "total_tokens": "7",
    "cached_tokens": "1",
    "cache_write_tokens": "",
    "reasoning_tokens": "",
    "usage_source": "missing",
    "duration_us": "5",
    "first_token_us": "",
    "upstream_us": "",
    "queue_us": "",
    "billed_nano_usd": "6",
    "cost_nano_usd": "6",
    "cost_source": "billed",
    "same_model_nano_usd": "",
    "replacement_nano_usd": "",
    "price_version": "",
    "device_watts": "1.5",
    "retry_of": str(uuid(9)),
    "attempts": "2",
}


async def whole(store: Any, form: Form, **scope: Any) -> bytes:
    pieces = exported(store, Scope(**scope), form, KATHMANDU, NOW)
    return b"".join([piece async for piece in pieces])


@asynccontextmanager
async def kept(folder: Path, *rows: RequestRow) -> AsyncIterator[Any]:
    async with open_store(folder / "metrics.db") as store:
        await store.append(rows)
        yield store


def read(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def without_mark(text: str) -> str:
    return text.removeprefix("'")


async def test_csv_tells_all_of_each_request_the_latest_first(tmp_path: Path):
    async with kept(tmp_path, FULL, row(1)) as store:
        plain, full = read(await whole(store, Form.CSV))
    assert tuple(full) == REQUEST
    assert plain["time"] == "2026-11-21T10:30:00.000000Z"
    assert plain["local_time"] == "2026-11-21T16:15:00.000000+05:45"
    assert (plain["prompt_tokens"], plain["cost_nano_usd"], plain["http_status"]) == ("", "", "")
    assert (plain["cost_source"], plain["retry_of"], plain["attempts"]) == ("unpriced", "", "0")
    assert full == TOLD


async def test_json_lines_keep_types_and_have_the_attempts_in_them(tmp_path: Path):
    async with kept(tmp_path, FULL, row(1)) as store:
        plain, full = map(json.loads, (await whole(store, Form.JSONL)).splitlines())
    assert tuple(full) == REQUEST
    assert (full["project"], full["local"], full["device_watts"]) == ("=cmd()", True, 1.5)
    assert (plain["cost_nano_usd"], plain["retry_of"], plain["attempts"]) == (None, None, [])
    assert full["attempts"][1] == {
        "number": 2,
        "backend": "b",
        "model": "m",
        "status": "timeout",
        "http_status": None,
        "duration_us": 2,
        "error": "",
    }


async def test_a_zip_says_what_is_in_it(tmp_path: Path):
    async with kept(tmp_path, FULL, row(1)) as store:
        packed = await whole(store, Form.ZIP, user="ana")
        alone = await whole(store, Form.CSV, user="ana")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    told = manifest.pop("files")
    assert manifest == {
        "schema": "lair.usage",
        "schema_version": 1,
        "exported_at": "2026-11-21T10:30:00+00:00",
        "time_zone": "Asia/Kathmandu",
        "user_id": "ana",
        "project": None,
        "key_id": None,
    }
    assert {each["name"]: each["rows"] for each in told} == {
        "requests.jsonl": 1,
        "requests.csv": 1,
        "attempts.csv": 2,
    }
    for each in told:
        text = files[each["name"]]
        assert (each["bytes"], each["sha256"]) == (len(text), hashlib.sha256(text).hexdigest())
    assert files["requests.csv"] == alone
    first, second = read(files["attempts.csv"])
    assert tuple(first) == ATTEMPT
    assert (first["request_id"], first["number"], first["status"]) == (
        str(FULL.request_id),
        "1",
        "rate_limited",
    )
    assert (second["http_status"], second["time"]) == ("", "2026-11-21T09:30:00.000000Z")


@pytest.mark.parametrize("form", list(Form))
async def test_of_nothing_there_is_a_file_too(tmp_path: Path, form: Form):
    async with kept(tmp_path) as store:
        text = await whole(store, form)
    match form:
        case Form.CSV:
            assert text.decode().strip() == ",".join(REQUEST)
        case Form.JSONL:
            assert text == b""
        case Form.ZIP:
            assert len(zipfile.ZipFile(io.BytesIO(text)).namelist()) == 4


@given(st.text(max_size=20) | st.sampled_from(EVIL))
def test_no_text_is_a_formula_and_every_text_comes_back(text: str):
    shown = inert(text)
    assert shown.lstrip()[:1] not in ("=", "+", "-", "@")
    assert shown[:1] not in ("\t", "\r")
    assert without_mark(shown) == text
    if "\0" not in text:
        [[cell, _]] = csv.reader(io.StringIO(csv_lines([(text, 1)]).decode(), newline=""))
        assert without_mark(cell) == text


def test_numbers_are_not_touched():
    assert csv_lines([(-1, -1.5, None, False)]) == b"-1,-1.5,,false\r\n"


def test_every_source_of_identity_has_its_name():
    names = [name.removeprefix("IDENTITY_SOURCE_").lower() for name in IdentitySource.keys()]  # noqa: SIM118  # no mapping
    assert ["", *names[1:]] == list(IDENTITY_SOURCES)
    assert list(IdentitySource.values()) == list(range(len(IDENTITY_SOURCES)))


class Endless:
    """A ledger of as many requests as are asked for, each made when it is read."""

    def __init__(self, count: int) -> None:
        self._count = count

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Endless]:
        yield self

    async def requests(self, _: Scope, limit: int, after: Position | None) -> Page:
        begin = after.row if after else 0
        end = min(begin + limit, self._count)
        rows = tuple(row(number, NOW_US - number, model_used="m") for number in range(begin, end))
        return Page(rows, Position(NOW_US - end, end) if end < self._count else None)


@pytest.mark.parametrize("form", [Form.CSV, Form.ZIP])
async def test_memory_holds_a_page_however_many_requests_there_are(form: Form):
    async def peak(count: int) -> tuple[int, int]:
        tracemalloc.reset_peak()
        store: Any = Endless(count)
        size = 0
        async for piece in exported(store, Scope(), form, KATHMANDU, NOW):
            size += len(piece)
        return tracemalloc.get_traced_memory()[1], size

    tracemalloc.start()
    try:
        await peak(1000)
        few, _ = await peak(1000)
        many, size = await peak(6_000)
    finally:
        tracemalloc.stop()
    assert size > (10**6 if form is Form.CSV else 10**4)
    assert many < few * 1.5


async def test_who_leaves_early_leaves_no_file_open(tmp_path: Path):
    async with kept(tmp_path, FULL) as store:
        pieces = exported(store, Scope(), Form.ZIP, KATHMANDU, NOW)
        assert await anext(pieces)
        await pieces.aclose()  # a temporary file that stays open would warn


async def test_the_service_streams_what_the_scope_asks_for(tmp_path: Path):
    async with running(tmp_path / "metrics.db", zone="Europe/Berlin") as stubs:
        await recorded(stubs, record(1, project="p"), record(2, NOW_US - 1, project="q"))
        request = report.ExportUsageRequest(scope=report.ReportScope(project="p"))
        call = stubs.report.ExportUsage(request, timeout=10)
        [only] = read(b"".join([piece.data async for piece in call]))
        assert (only["project"], only["local_time"][-6:]) == ("p", "+01:00")
        for wrong in (
            report.ExportUsageRequest(scope=report.ReportScope(time_zone="Mars")),
            report.ExportUsageRequest(format=99),  # type: ignore[arg-type]  # of a newer client
        ):
            await refused(anext(aiter(stubs.report.ExportUsage(wrong, timeout=10))))
