"""Tables of use against a walk over the requests, and questions that cannot be answered."""

from __future__ import annotations

import math
import random
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lair.metrics.v1 import report_service_pb2 as report
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from metrics_svc.model import Origin, RequestRow, Status
from metrics_svc.query import Distinct, Grain
from metrics_svc.reports.columns import DIMENSIONS, MEASURES
from metrics_svc.reports.table import TableRow, read_table, wanted
from metrics_svc.storage.sqlite import open_store
from svckit.errors import from_rpc_error
from tests.metrics.events import NOW_US, Stubs, record, running, us
from tests.metrics.histories import (
    MOMENTS,
    distinct_of,
    few,
    histories,
    is_activity,
    key_of,
    local_time,
    measures_of,
    scopes,
    superseded,
    within,
)
from tests.metrics.test_ledger_oracle import fill

WHO = ("user", "project", "key", "client")
LANE = ("user", "project", "key", "model", "backend", "local", "streamed")
NO_VERDICT = (Status.CLIENT_CANCELLED, Status.INVALID_REQUEST, Status.AUTH)
DIFFERENT: dict[str, Callable[[Distinct], int]] = {
    "users": lambda it: it.users,
    "projects": lambda it: it.projects,
    "conversations": lambda it: it.conversations,
    "named_sessions": lambda it: it.sessions,
    "inferred_sessions": lambda it: it.inferred_sessions,
    "sessions": lambda it: it.sessions + it.loose_conversations + it.inferred_sessions,
}
MONEY = {"cost_usd": "cost_nano", "same_model_usd": "ref1_nano", "replacement_usd": "ref2_nano"}
MEANS = {
    "duration_ms": ("duration_us", "timed", 1e3),
    "first_token_ms": ("first_token_us", "first_tokens", 1e3),
    "queue_ms": ("queue_us", "queued", 1e3),
    "tokens_per_second": ("generated_tokens", "generating_us", 1e-6),
}
DIFFERENCES = {
    "unpriced": ("records", "priced"),
    "fresh_tokens": ("prompt_tokens", "cached_tokens"),
}
OTHER_NAMES = {"client_requests": "active", "fallbacks": "moved"}


class Part:
    """The requests of one row, and those of them that count as requests."""

    def __init__(self, rows: Sequence[RequestRow], repeated: set[Any]) -> None:
        self.rows = rows
        self.counted = [each for each in rows if each.request_id not in repeated]
        self.sums: defaultdict[str, int] = defaultdict(int)
        for each in rows:
            for name, number in measures_of(each, counts=each.request_id not in repeated).items():
                self.sums[name] += number

    def value(self, name: str) -> float | None:
        """Return a measure, counted one by one."""
        if name in DIFFERENT:
            return DIFFERENT[name](distinct_of(filter(is_activity, self.counted)))
        if name in MONEY:
            known = [getattr(it, MONEY[name]) for it in self.rows]
            return sum(it or 0 for it in known) / 1e9 if {*known} - {None} else None
        if name in MEANS:
            total, count, unit = MEANS[name]
            return self.sums[total] / self.sums[count] / unit if self.sums[count] else None
        if "_p" in name[-4:]:
            return self.percentile(*name.rsplit("_p", 1))
        if name in ("errors", "success_rate"):
            return self.verdict(name)
        return self.count(name)

    def count(self, name: str) -> int:
        if name.upper() in Status.__members__:
            return sum(each.status is Status[name.upper()] for each in self.counted)
        if name in DIFFERENCES:
            whole, less = DIFFERENCES[name]
            return self.sums[whole] - self.sums[less]
        return self.sums[OTHER_NAMES.get(name, name)]

    def verdict(self, name: str) -> float | None:
        judged = [each.status for each in self.counted if each.status not in NO_VERDICT]
        good = sum(status is Status.OK for status in judged)
        if name == "errors":
            return len(judged) - good
        return good / len(judged) if judged else None

    def percentile(self, name: str, percent: str) -> float | None:
        answered = [
            each
            for each in self.counted
            if each.status is Status.OK
            and each.origin is not Origin.INTERNAL
            and each.duration_us is not None
        ]
        values = sorted(it for it in (measured(name, each) for each in answered) if it is not None)
        if not values:
            return None
        return values[max(1, math.ceil(int(percent) * len(values) / 100)) - 1]


def measured(name: str, each: RequestRow) -> float | None:
    duration, first, upstream = each.duration_us or 0, each.first_token_us, each.upstream_us
    if name == "duration_ms":
        return duration / 1e3
    if name == "first_token_ms":
        return None if first is None else first / 1e3
    if name == "queue_ms":
        return None if each.queue_us is None else each.queue_us / 1e3
    if name == "overhead_ms":
        known = upstream is not None
        return max(0, duration - (upstream or 0) - (each.queue_us or 0)) / 1e3 if known else None
    if (each.tokens.completion or 0) > 1 and first is not None and duration > first:
        return ((each.tokens.completion or 0) - 1) * 1e6 / (duration - first)
    return None


def shown(name: str, each: RequestRow) -> str:
    value = getattr(each, DIMENSIONS[name].column)
    if isinstance(value, IntEnum):
        return value.name.lower()
    return str(value).lower() if isinstance(value, bool) else str(value)


def time_of(each: RequestRow, grain: Grain, zone: ZoneInfo) -> str:
    local = local_time(each.ts_us, zone)
    if grain in (Grain.WEEKDAY, Grain.HOUR_OF_DAY, Grain.HOUR_OF_WEEK):
        return str(key_of(each.ts_us, grain, zone))
    if grain is Grain.DAY:
        return local.date().isoformat()
    key = key_of(each.ts_us, grain, zone)
    if grain in (Grain.WEEK, Grain.MONTH):
        return type(local).fromordinal(key).date().isoformat()
    return local_time(key * 15 * 60 * 10**6, zone).isoformat()


def names_that_go(dimensions: Sequence[str], grain: Grain | None) -> list[str]:
    """Return the measures that can be told apart so."""
    return [
        name
        for name in MEASURES
        if not (name in DIFFERENT and {*dimensions} - {*WHO})
        and not ("_p" in name[-4:] and (grain or {*dimensions} - {*LANE}))
    ]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), moment=few(sorted(MOMENTS.values())))
async def test_a_table_equals_one_counted_by_hand(data: st.DataObject, seed: int, moment: int):
    rows = data.draw(histories(moment))
    dimensions = data.draw(st.lists(few([*DIMENSIONS]), max_size=2, unique=True))
    grain = data.draw(st.none() | few(list(Grain)))
    measures = data.draw(st.lists(few(names_that_go(dimensions, grain)), min_size=1, max_size=8))
    zone = ZoneInfo(data.draw(few(sorted(MOMENTS))))
    scope = data.draw(scopes(moment))
    filters = [("user", "ann"), ("user", "")] if data.draw(st.booleans()) else []
    table = wanted(
        scope,
        zone,
        dimensions=dimensions,
        measures=measures,
        filters=filters,
        granularity=grain.value if grain else "",
    )
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "metrics.db") as store:
            await fill(store, rows, random.Random(seed))
            async with store.reading() as ledger:
                found = await read_table(ledger, table, 1000)
    parts: defaultdict[Any, list[RequestRow]] = defaultdict(list)
    for each in rows:
        if within(each, replace(table.question, grain=None)):
            time = time_of(each, grain, zone) if grain else ""
            parts[time, tuple(shown(name, each) for name in dimensions)].append(each)
    if not dimensions and not grain:
        parts.setdefault(("", ()), [])
    check(found.rows, {key: Part(part, superseded(rows)) for key, part in parts.items()}, measures)


def check(rows: Sequence[TableRow], parts: dict[Any, Part], measures: Sequence[str]) -> None:
    assert {(row.time, row.keys) for row in rows} == parts.keys()
    for row in rows:
        for name, value in zip(measures, row.values, strict=True):
            expected = parts[row.time, row.keys].value(name)
            if expected is None:
                assert value is None, name
            else:
                assert value == pytest.approx(expected, rel=0.0101 if "_p" in name else 1e-12), name


@pytest.fixture
async def stubs(tmp_path: Path) -> AsyncIterator[Stubs]:
    async with running(tmp_path / "metrics.db", zone="Europe/Berlin") as stubs:
        yield stubs


async def record_all(stubs: Stubs, *records: RequestRecord) -> None:
    await stubs.usage.RecordRequests(RecordRequestsRequest(records=records), timeout=10)


async def asked(stubs: Stubs, **request: Any) -> report.QueryUsageResponse:
    return await stubs.report.QueryUsage(report.QueryUsageRequest(**request), timeout=10)


async def test_rows_are_in_order_and_those_beyond_the_limit_are_counted(stubs: Stubs):
    times = [us("2026-10-25T00:30"), us("2026-10-25T01:30"), us("2026-10-26T12:00")]
    await record_all(stubs, *(record(number, at) for number, at in enumerate(times)))
    hours = await asked(stubs, measures=["requests"], granularity="hour")
    assert hours.time_zone == "Europe/Berlin"
    # Clocks were put back: there were two hours from two to three.
    assert [row.time for row in hours.rows] == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-26T13:00:00+01:00",
    ]
    days = await asked(stubs, measures=["requests", "cost_usd"], granularity="day", limit=1)
    [row] = days.rows
    assert (row.time, row.values[0], math.isnan(row.values[1])) == ("2026-10-25", 2, True)
    assert days.omitted_count == 1


async def test_a_sum_of_nothing_is_a_row_of_zeros(stubs: Stubs):
    measures = ["requests", "sessions", "cost_usd", "duration_ms_p95"]
    [row] = (await asked(stubs, measures=measures)).rows
    assert [str(value) for value in row.values] == ["0.0", "0.0", "nan", "nan"]
    assert not (await asked(stubs, measures=measures, dimensions=["user"])).rows


@pytest.mark.parametrize(
    ("request_of", "field", "said"),
    [
        ({}, "measures", "requests, client_requests, ok,"),
        ({"measures": ["request"]}, "measures", "'request' is unknown; those are requests, "),
        ({"measures": ["ok"], "dimensions": ["modle"]}, "dimensions", "user, project, key, "),
        ({"measures": ["ok"], "granularity": "year"}, "granularity", "quarter, hour, day, "),
        ({"measures": ["sessions"], "dimensions": ["model"]}, "measures", "by model, only by user"),
        ({"measures": ["queue_ms_p50"], "dimensions": ["status"]}, "measures", "by status, only"),
        ({"measures": ["queue_ms_p50"], "granularity": "day"}, "granularity", "by time"),
        (
            {"measures": ["ok"], "filters": [{"dimension": "status", "value": "fine"}]},
            "filters",
            "status is never 'fine'; it is one of ok, client_cancelled, ",
        ),
        (
            {"measures": ["ok"], "filters": [{"dimension": "http_status", "value": "2xx"}]},
            "filters",
            "numbers",
        ),
    ],
)
async def test_what_cannot_be_asked_is_told_with_what_can(
    stubs: Stubs, request_of: dict[str, Any], field: str, said: str
):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked(stubs, scope=report.ReportScope(user_id="ann"), **request_of)
    error = from_rpc_error(caught.value, "metrics")
    assert (caught.value.code(), error.metadata) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        {"field": field},
    )
    assert said in error.message


async def test_filters_are_by_what_rows_show(stubs: Stubs):
    await record_all(
        stubs,
        record(1, NOW_US, backend="a", local=True, http_status=200, streamed=True),
        record(2, NOW_US, backend="b", http_status=502, status=5),
        record(3, NOW_US, status=6),
    )
    for name, value, count in (
        ("backend", "a", 1),
        ("backend", "", 1),
        ("local", "true", 1),
        ("streamed", "false", 2),
        ("http_status", "502", 1),
        ("status", "upstream_error", 1),
        ("cost_source", "unpriced", 3),
    ):
        filters = [report.QueryFilter(dimension=name, value=value)]
        answer = await asked(stubs, measures=["requests"], dimensions=[name], filters=filters)
        [row] = answer.rows
        assert ([*row.keys], [*row.values]) == ([value], [count]), name
