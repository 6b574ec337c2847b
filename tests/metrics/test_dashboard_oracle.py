"""The dashboard against one computed event by event, for random histories.

The oracle knows nothing of buckets, ids or SQL: it walks over the records.
"""

import random
import tempfile
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lair.common.v1.chat_pb2 import Usage
from lair.metrics.v1 import report_service_pb2 as report
from lair.metrics.v1 import usage_pb2 as pb
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceStub
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceStub
from metrics_svc.main import servicers
from metrics_svc.storage.sqlite import open_store
from svckit.inprocess import InProcessChannel
from svckit.times import to_timestamp, to_us
from tests.metrics.events import DAY_US, MINUTE_US, record, us
from tests.metrics.prices import Prices

# Each zone with a moment around which its clock does something unusual.
MOMENTS = {
    "Australia/Lord_Howe": us("2026-10-04"),
    "Europe/Berlin": us("2026-10-25"),
    "America/New_York": us("2026-03-08"),
    "Asia/Kathmandu": us("2024-02-29"),
    "Pacific/Apia": us("2011-12-30"),
    "UTC": us("2026-01-01"),
}
HALF_US = 4 * DAY_US
TOLD = (pb.USAGE_SOURCE_UPSTREAM, pb.USAGE_SOURCE_UPSTREAM_TIMINGS, pb.USAGE_SOURCE_COUNTED)
NO_VERDICT = (pb.STATUS_CLIENT_CANCELLED, pb.STATUS_INVALID_REQUEST, pb.STATUS_AUTH)
PRICES = Prices()
tokens = st.none() | st.integers(0, 5)
few = st.sampled_from


@st.composite
def events(draw: st.DrawFn, number: int, moment: int) -> RequestRecord:
    near = st.integers(-HALF_US // MINUTE_US, HALF_US // MINUTE_US).map(lambda n: n * MINUTE_US)
    usage = {
        name: draw(tokens)
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    }
    return record(
        number,
        moment + draw(near | st.integers(-HALF_US, HALF_US)),
        user_id=draw(few(["", "ann", "bob"])),
        project=draw(few(["", "p", "q"])),
        key_id=draw(few(["", "k"])),
        session_id=draw(few(["", "", "s", "t"])),
        conversation_id=draw(few(["", "", "c", "d"])),
        origin=draw(few([*[pb.ORIGIN_CLIENT] * 4, *pb.Origin.values()])),
        status=draw(few([*[pb.STATUS_OK] * 6, *pb.Status.values()[1:]])),
        model=draw(few(["", "m", "n"])),
        backend=draw(few(["", "a", "b"])),
        local=draw(st.booleans()),
        usage=Usage(**usage),
        usage_source=draw(few(pb.UsageSource.values())),
        new_message_count=draw(st.integers(0, 3)),
        billed_nano_usd=draw(st.none() | st.integers(0, 10**12)),
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, int, list[RequestRecord]]:
    zone, moment = draw(few(sorted(MOMENTS.items())))
    count = draw(st.integers(0, 25))
    return zone, moment, [draw(events(number, moment)) for number in range(count)]


@st.composite
def scopes(draw: st.DrawFn, zone: str, moment: int) -> report.ReportScope:
    scope = report.ReportScope(
        time_zone=zone, user_id=draw(few(["", "", "ann"])), project=draw(few(["", "", "p"]))
    )
    if draw(st.booleans()):
        bounds = sorted(draw(st.tuples(*[st.integers(-HALF_US, HALF_US)] * 2)))
        scope.start_time.CopyFrom(to_timestamp(moment + bounds[0]))
        scope.end_time.CopyFrom(to_timestamp(moment + bounds[1]))
    return scope


def expected(
    records: list[RequestRecord], scope: report.ReportScope, now_us: int
) -> report.GetDashboardResponse:
    zone = ZoneInfo(scope.time_zone)
    within = [r for r in records if in_scope(r, scope)]
    active = [r for r in within if is_activity(r)]
    days = Counter(local_date(r, zone) for r in active)
    day_tokens: Counter[date] = Counter()
    for r in within:
        day_tokens[local_date(r, zone)] += all_tokens(r)
    shown = [
        report.DayActivity(
            date=day.isoformat(),
            request_count=days[day],
            token_count=day_tokens[day],
            cost=cost([r for r in within if local_date(r, zone) == day]),
        )
        for day in sorted(days)
    ]
    today = datetime.fromtimestamp(now_us / 1e6, zone).date()
    return report.GetDashboardResponse(
        time_zone=scope.time_zone,
        started_date=min(days).isoformat() if days else "",
        active_day_count=len(days),
        most_active_day=max(shown, key=lambda d: (d.request_count, d.date), default=None),
        days=shown,
        models=shares(within, lambda r: r.model or "unrouted"),
        backends=shares(within, lambda r: r.backend),
        locations=shares(within, lambda r: r.backend and ("local" if r.local else "remote")),
        session_count=sessions(active),
        message_count=sum(r.new_message_count for r in active),
        tokens=token_totals(within),
        project_count=len({r.caller.project for r in active} - {""}),
        longest_streak_days=max((run_from(day, days) for day in days), default=0),
        current_streak_days=max(run_until(today, days), run_until(today - DAY, days)),
        request_count=len(within),
        statuses=[
            report.StatusCount(status=status, request_count=count)
            for status, count in sorted(Counter(r.status for r in within).items())
        ],
        conversation_count=len({r.conversation_id for r in active} - {""}),
        cost=cost(within),
        success_ratio=success(within),
        before=expected_before(records, scope, now_us),
    )


def token_totals(within: list[RequestRecord]) -> report.TokenTotals:
    answered = [r for r in within if r.status == pb.STATUS_OK]
    told = [r for r in answered if r.usage_source in TOLD]
    return report.TokenTotals(
        total_count=sum(all_tokens(r) for r in within),
        prompt_count=sum(r.usage.prompt_tokens for r in within),
        completion_count=sum(r.usage.completion_tokens for r in within),
        cached_count=sum(r.usage.cached_tokens for r in within),
        reasoning_count=sum(r.usage.reasoning_tokens for r in within),
        known_ratio=len(told) / len(answered) if answered else 0,
    )


def success(within: list[RequestRecord]) -> float | None:
    judged = [r for r in within if r.status not in NO_VERDICT]
    return sum(r.status == pb.STATUS_OK for r in judged) / len(judged) if judged else None


def expected_before(
    records: list[RequestRecord], scope: report.ReportScope, now_us: int
) -> report.PeriodTotals | None:
    """Sum up as many days before, from the same time of the first to that of the last."""
    end_us = min(to_us(scope.end_time), now_us)
    if not scope.HasField("start_time") or to_us(scope.start_time) >= end_us:
        return None
    zone = ZoneInfo(scope.time_zone)
    bounds = (to_us(scope.start_time), end_us)
    first, last = (date_at(us, zone) for us in (bounds[0], bounds[1] - 1))
    start, end = (moved(us, (last - first).days + 1, zone) for us in bounds)
    earlier = report.ReportScope(start_time=to_timestamp(start), end_time=to_timestamp(end))
    earlier.MergeFrom(
        report.ReportScope(time_zone=scope.time_zone, user_id=scope.user_id, project=scope.project)
    )
    found = expected(records, earlier, start)
    return report.PeriodTotals(
        start_time=earlier.start_time,
        end_time=earlier.end_time,
        request_count=found.request_count,
        token_count=found.tokens.total_count,
        message_count=found.message_count,
        session_count=found.session_count,
        active_day_count=found.active_day_count,
        success_ratio=found.success_ratio if found.HasField("success_ratio") else None,
        cost=found.cost,
    )


def moved(us: int, days: int, zone: ZoneInfo) -> int:
    """Return a moment as long after the beginning of a day so many days before."""
    day = date_at(us, zone)
    earlier = day - timedelta(days=days)
    same = first_us(earlier, zone) + us - first_us(day, zone)
    return min(same, first_us(earlier + DAY, zone))


def first_us(day: date, zone: ZoneInfo) -> int:
    """Find the first moment that is this local day, or a later one, by halving."""
    middle = us(day.isoformat())
    low, high = middle - 2 * DAY_US, middle + 2 * DAY_US
    while low < high:
        at = (low + high) // 2
        low, high = (low, at) if date_at(at, zone) >= day else (at + 1, high)
    return low


def cost(within: list[RequestRecord]) -> report.Cost:
    costs = [cost_of(r) for r in within]
    known = [nano for nano in costs if nano is not None]
    return report.Cost(
        nano_usd=sum(known) if known else None, unpriced_count=len(costs) - len(known)
    )


def cost_of(r: RequestRecord) -> int | None:
    """Return what was billed; nothing, of what stayed in the house or went nowhere.

    Where an imported one went is not known.
    """
    if r.HasField("billed_nano_usd"):
        return r.billed_nano_usd
    nowhere = not r.backend and r.origin != pb.ORIGIN_IMPORT
    return 0 if r.local or nowhere else None


DAY = timedelta(days=1)


def in_scope(r: RequestRecord, scope: report.ReportScope) -> bool:
    ts_us = to_us(r.request_time)
    return (
        scope.user_id in ("", r.caller.user_id)
        and scope.project in ("", r.caller.project)
        and not (scope.HasField("start_time") and ts_us < to_us(scope.start_time))
        and not (scope.HasField("end_time") and ts_us >= to_us(scope.end_time))
    )


def is_activity(r: RequestRecord) -> bool:
    return r.origin != pb.ORIGIN_INTERNAL and r.status not in (
        pb.STATUS_AUTH,
        pb.STATUS_INVALID_REQUEST,
    )


def local_date(r: RequestRecord, zone: ZoneInfo) -> date:
    return date_at(to_us(r.request_time), zone)


def date_at(us: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(us // 10**6, zone).date()


def all_tokens(r: RequestRecord) -> int:
    return r.usage.prompt_tokens + r.usage.completion_tokens


def shares(within: list[RequestRecord], name_of: Any) -> list[report.UsageShare]:
    requests = Counter(name_of(r) for r in within if is_activity(r))
    used: Counter[str] = Counter()
    for r in within:
        used[name_of(r)] += all_tokens(r)
    found = [
        report.UsageShare(
            name=name,
            request_count=requests[name],
            token_count=used[name],
            request_ratio=requests[name] / requests.total() if requests else 0,
            cost=cost([r for r in within if name_of(r) == name]),
        )
        for name in requests.keys() | used.keys()
        if name and (requests[name] or used[name])
    ]
    return sorted(found, key=lambda s: (-s.request_count, -s.token_count, s.name))


def sessions(active: list[RequestRecord]) -> int:
    found: set[Any] = set()
    loose: defaultdict[Any, list[int]] = defaultdict(list)
    for r in active:
        if r.caller.session_id:
            found.add(("session", r.caller.session_id))
        elif r.conversation_id:
            found.add(("conversation", r.conversation_id))
        else:
            sitter = (r.caller.user_id, r.caller.key_id, r.caller.project)
            loose[sitter].append(to_us(r.request_time))
    for times in loose.values():
        for ts_us in times:
            # The first request of a sitting is one with no other in the half hour before.
            if not any(0 < ts_us - other <= 30 * MINUTE_US for other in times):
                found.add((id(times), ts_us))
    return len(found)


def run_from(day: date, days: Counter[date]) -> int:
    return 1 + run_from(day + DAY, days) if day in days else 0


def run_until(day: date, days: Counter[date]) -> int:
    return 1 + run_until(day - DAY, days) if day in days else 0


@settings(max_examples=80, deadline=None)
@given(data=st.data(), history=histories(), seed=st.integers(0, 2**32))
async def test_the_dashboard_equals_one_computed_event_by_event(
    data: st.DataObject, history: tuple[str, int, list[RequestRecord]], seed: int
):
    zone, moment, records = history
    now = moment + HALF_US - data.draw(st.integers(0, DAY_US))
    records = [r for r in records if to_us(r.request_time) <= now]
    chance = random.Random(seed)
    sent = records + [chance.choice(records) for _ in range(len(records) // 2)]
    chance.shuffle(sent)
    size = chance.randint(1, 12)
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "metrics.db") as store:
            channel = InProcessChannel(servicers(store, ZoneInfo("UTC"), lambda: now, PRICES))
            for first in range(0, len(sent), size):
                await UsageServiceStub(channel).RecordRequests(
                    RecordRequestsRequest(records=sent[first : first + size])
                )
            for scope in (report.ReportScope(time_zone=zone), data.draw(scopes(zone, moment))):
                answer = await ReportServiceStub(channel).GetDashboard(
                    report.GetDashboardRequest(scope=scope)
                )
                assert answer == expected(records, scope, now)


@pytest.mark.parametrize("zone", MOMENTS)
def test_the_oracle_has_unusual_days(zone: str):
    offsets = {
        datetime.fromtimestamp((MOMENTS[zone] + n * DAY_US) / 1e6, ZoneInfo(zone)).utcoffset()
        for n in (-4, 4)
    }
    assert len(offsets) == (1 if zone in ("UTC", "Asia/Kathmandu") else 2)
