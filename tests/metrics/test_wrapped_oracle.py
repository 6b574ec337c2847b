"""A year against one computed event by event, for random histories and unusual days."""

import random
import tempfile
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from lair.metrics.v1 import report_service_pb2 as report
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceStub
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceStub
from metrics_svc.main import servicers
from metrics_svc.storage.sqlite import open_store
from svckit.inprocess import InProcessChannel
from svckit.times import to_timestamp, to_us
from tests.metrics.events import DAY_US
from tests.metrics.test_dashboard_oracle import (
    HALF_US,
    PRICES,
    date_at,
    expected,
    few,
    first_us,
    histories,
    in_scope,
    is_activity,
    shares,
)

DAY = timedelta(days=1)
# What the year has from its dashboard, as it is.
SHARED = (
    *("time_zone", "active_day_count", "most_active_day", "request_count", "message_count"),
    *("session_count", "conversation_count", "project_count", "tokens", "cost", "locations"),
)


def year_before(day: date) -> date:
    """Return the same day a year before; the first of March of one that is not there."""
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return date(day.year - 1, 3, 1)


def check(
    found: report.GetWrappedResponse, records: list[RequestRecord], zone: ZoneInfo, now_us: int
) -> None:
    year, today = found.year, date_at(now_us, zone)
    end = min(date(year + 1, 1, 1), today + DAY)
    scope = span(zone, date(year, 1, 1), end)
    board = expected(records, scope, now_us)
    for name in SHARED:
        assert getattr(found, name) == getattr(board, name), name
    assert found.HasField("success_ratio") == board.HasField("success_ratio")
    assert found.success_ratio == board.success_ratio
    assert (list(found.models), list(found.backends)) == (board.models[:5], board.backends[:5])
    within = [each for each in records if in_scope(each, scope)]
    assert list(found.projects) == shares(within, lambda each: each.caller.project)
    assert list(found.clients) == shares(within, lambda each: each.caller.client)
    active = [each for each in within if is_activity(each)]
    check_days(found, Counter(date_at(to_us(each.request_time), zone) for each in active), end)
    check_hour(found, active, zone)
    earlier = span(zone, date(year - 1, 1, 1), year_before(end))
    before = expected(records, earlier, now_us)
    assert found.HasField("before") == bool(before.request_count)
    assert found.before.request_count == before.request_count
    assert found.before.token_count == before.tokens.total_count
    assert found.before.cost == (before.cost if before.request_count else report.Cost())


def check_days(found: report.GetWrappedResponse, days: Counter[date], end: date) -> None:
    shown = {date.fromisoformat(each.date): each.request_count for each in found.days}
    assert {day: count for day, count in shown.items() if count} == days
    # A date that the zone skipped is none of its days.
    assert len(shown) == found.day_count <= (end - date(found.year, 1, 1)).days
    assert found.first_date == (min(days).isoformat() if days else "")
    runs = [run(day, days) for day in days if day - DAY not in days]
    assert found.longest_streak.day_count == max(runs, default=0)


def run(day: date, days: Counter[date]) -> int:
    return 1 + run(day + DAY, days) if day + DAY in days else 1


def check_hour(
    found: report.GetWrappedResponse, active: list[RequestRecord], zone: ZoneInfo
) -> None:
    hours = Counter(each.request_time.ToDatetime(zone).hour for each in active)
    assert found.HasField("most_active_hour") == bool(hours)
    if hours:
        most = max(hours.values())
        first = min(hour for hour, count in hours.items() if count == most)
        assert found.most_active_hour == first


def span(zone: ZoneInfo, first: date, end: date) -> report.ReportScope:
    return report.ReportScope(
        time_zone=zone.key,
        start_time=to_timestamp(first_us(first, zone)),
        end_time=to_timestamp(first_us(end, zone)),
    )


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    history=histories(),
    kept=few(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"]),
    seed=st.integers(0, 2**32),
)
async def test_a_year_equals_one_computed_event_by_event(
    data: st.DataObject, history: tuple[str, int, list[RequestRecord]], kept: str, seed: int
):
    """Whatever zone the sums are kept by."""
    name, moment, records = history
    zone = ZoneInfo(name)
    now = moment + HALF_US - data.draw(st.integers(0, DAY_US))
    records = [each for each in records if to_us(each.request_time) <= now]
    random.Random(seed).shuffle(records)
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "metrics.db", ZoneInfo(kept)) as store:
            channel = InProcessChannel(servicers(store, ZoneInfo("UTC"), lambda: now, PRICES))
            await UsageServiceStub(channel).RecordRequests(
                RecordRequestsRequest(records=records + records[::2])
            )
            for year in {date_at(at, zone).year for at in (now, moment - HALF_US)}:
                found = await ReportServiceStub(channel).GetWrapped(
                    report.GetWrappedRequest(
                        year=year, scope=report.ReportScope(time_zone=zone.key)
                    )
                )
                check(found, records, zone, now)
