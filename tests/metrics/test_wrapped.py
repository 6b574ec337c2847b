"""A year: its own figures, those of the year before, and none of anybody's names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lair.metrics.v1 import report_service_pb2 as report
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from svckit.times import to_us
from tests.metrics.events import DAY_US, NOW_US, Stubs, record, running, us

NAMES = {"model": "my-tune", "backend": "attic", "project": "secret-plan", "client": "mycli/1"}


@pytest.fixture
async def stubs(tmp_path: Path) -> AsyncIterator[Stubs]:
    async with running(tmp_path / "metrics.db", zone="Europe/Berlin") as stubs:
        yield stubs


async def recorded(stubs: Stubs, *records: RequestRecord) -> None:
    await stubs.usage.RecordRequests(RecordRequestsRequest(records=records), timeout=10)


async def year_of(stubs: Stubs, year: int, **request: Any) -> report.GetWrappedResponse:
    asked = report.GetWrappedRequest(year=year, **request)
    return await stubs.report.GetWrapped(asked, timeout=10)


def two_years() -> list[RequestRecord]:
    """Requests on both sides of the New Year of Berlin, and of today a year ago."""
    return [
        record(1, us("2025-12-31T22:59"), tokens=(1, 1), **NAMES),
        record(2, us("2025-12-31T23:00"), tokens=(20, 10), session_id="s", **NAMES),
        record(3, us("2026-01-01T23:30"), tokens=(5, 5), tool_call_count=2, **NAMES),
        record(4, us("2026-01-02T06:00"), tokens=(5, 5), new_message_count=2, model="b"),
        record(5, us("2025-11-21T22:00"), tokens=(7, 0)),
        record(6, us("2025-11-22T01:00"), tokens=(100, 0)),
    ]


async def test_a_year_is_one_of_local_days(stubs: Stubs):
    await recorded(stubs, *two_years())
    year = await year_of(stubs, 2026)
    assert (year.year, year.time_zone, year.first_date) == (2026, "Europe/Berlin", "2026-01-01")
    assert (year.day_count, year.active_day_count, year.request_count) == (325, 2, 3)
    assert len(year.days) == 325
    assert year.longest_streak == report.Streak(
        day_count=2, first_date="2026-01-01", last_date="2026-01-02"
    )
    assert (year.most_active_day.date, year.most_active_day.request_count) == ("2026-01-02", 2)
    assert (year.most_active_hour, year.HasField("best_weekday")) == (0, True)
    assert (year.tokens.total_count, year.tool_call_count, year.message_count) == (50, 2, 2)
    assert [(it.name, it.request_count) for it in year.models] == [("my-tune", 2), ("b", 1)]
    assert [it.name for it in (*year.projects, *year.clients, *year.backends)] == [
        *("secret-plan", "mycli/1", "attic"),
    ]
    assert year.projects[0].request_ratio == pytest.approx(2 / 3)
    assert year.cost == report.Cost(unpriced_count=3)


async def test_it_is_compared_with_the_year_before_until_the_same_day(stubs: Stubs):
    await recorded(stubs, *two_years())
    before = (await year_of(stubs, 2026)).before
    assert (before.request_count, before.token_count) == (1, 7)
    assert to_us(before.start_time) == us("2024-12-31T23:00")
    assert to_us(before.end_time) == us("2025-11-21T23:00")
    whole = await year_of(stubs, 2025)
    assert (whole.day_count, whole.request_count, whole.HasField("before")) == (365, 3, False)


async def test_of_a_leap_day_the_year_before_ends_with_the_same_day(tmp_path: Path):
    async with running(tmp_path / "leap.db", now_us=us("2028-02-28T12:00")) as stubs:
        await recorded(stubs, record(1, us("2027-02-28T23:00")), record(2, us("2027-03-01")))
        before = (await year_of(stubs, 2028)).before
    assert (before.request_count, to_us(before.end_time)) == (1, us("2027-03-01"))


async def test_a_year_may_be_without_names(stubs: Stubs):
    await recorded(stubs, *two_years())
    year = await year_of(stubs, 2026, hide_names=True)
    text = str(year)
    assert year.names_hidden
    for name in NAMES.values():
        assert name not in text
    assert [it.request_count for it in year.models] == [2, 1]
    assert year.request_count == (await year_of(stubs, 2026)).request_count


async def test_it_is_one_users_where_one_is_named(stubs: Stubs):
    await recorded(stubs, record(1, NOW_US, user_id="ann"), record(2, NOW_US, user_id="ben"))
    year = await year_of(stubs, 2026, scope=report.ReportScope(user_id="ann", time_zone="UTC"))
    assert (year.request_count, year.time_zone) == (1, "UTC")


@pytest.mark.parametrize("year", [1990, 2027, 9998])
async def test_a_year_without_requests_is_empty(stubs: Stubs, year: int):
    await recorded(stubs, record(1, NOW_US - DAY_US))
    empty = await year_of(stubs, year)
    assert (empty.first_date, empty.request_count, len(empty.models)) == ("", 0, 0)
    assert not empty.HasField("most_active_day")
    assert not empty.HasField("most_active_hour")
    assert empty.day_count == (365 if year == 1990 else 0)


@pytest.mark.parametrize("year", [0, 1970, 9999, -1])
async def test_a_year_that_no_clock_has_is_refused(stubs: Stubs, year: int):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await year_of(stubs, year)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "1971 to 9998" in (caught.value.details() or "")
