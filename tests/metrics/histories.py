"""Random histories of requests, and what they add up to counted one by one.

The counting here knows nothing of buckets, rollups or SQL.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from metrics_svc.model import (
    BUCKET_US,
    Attempt,
    CostSource,
    Origin,
    RequestRow,
    Scope,
    Status,
    Tokens,
    UsageSource,
)
from metrics_svc.query import Distinct, DistinctRow, Grain, Question, SumRow
from tests.metrics.events import DAY_US, MINUTE_US, row, us

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
few = st.sampled_from
maybe = st.none() | st.integers(0, 2000)


@st.composite
def requests(draw: st.DrawFn, number: int, moment: int, before: Sequence[RequestRow]) -> RequestRow:
    near = st.integers(-HALF_US // MINUTE_US, HALF_US // MINUTE_US).map(lambda n: n * MINUTE_US)
    fields = draw(callers) | draw(answers)
    return row(
        number,
        moment + draw(near | st.integers(-HALF_US, HALF_US)),
        **fields,
        tokens=Tokens(**{name: draw(maybe) for name in Tokens.__slots__}),
        retry_of=draw(st.none() | few([each.request_id for each in before])) if before else None,
        attempts=draw(st.lists(tries(fields), max_size=3).map(tuple)),
    )


callers = st.fixed_dictionaries(
    {
        "user": few(["", "ann", "bob"]),
        "project": few(["", "p", "q"]),
        "key": few(["", "k"]),
        "client": few(["", "c"]),
        "session": few(["", "", "s", "t"]),
        "conversation": few(["", "", "c", "d"]),
        "origin": few([*[Origin.CLIENT] * 4, *Origin]),
    }
)
answers = st.fixed_dictionaries(
    {
        "status": few([*[Status.OK] * 5, *Status]),
        "model_used": few(["", "m", "n"]),
        "backend": few(["", "a", "b"]),
        "local": st.booleans(),
        "streamed": st.booleans(),
        "http_code": few([0, 200, 502]),
        "tool_calls": st.integers(0, 2),
        "new_messages": st.integers(0, 3),
        "usage_source": few(list(UsageSource)),
        "duration_us": maybe,
        "first_token_us": maybe,
        "upstream_us": maybe,
        "queue_us": maybe,
        "device_watts": few([None, 0.5, 300.0]),
        "cost_nano": maybe,
        "cost_source": few(list(CostSource)),
        "ref1_nano": maybe,
        "ref2_nano": maybe,
        "price_version": few(["", "v1"]),
    }
)


def tries(fields: Mapping[str, Any]) -> st.SearchStrategy[Attempt]:
    """Return tries of a backend, of which some are what their request tells anyway."""
    return st.builds(
        Attempt,
        backend=few([fields["backend"], "a"]),
        model=few([fields["model_used"], "m"]),
        status=few([fields["status"], Status.TIMEOUT]),
        http_code=few([fields["http_code"], 0]),
        duration_us=few([fields["upstream_us"] or 0, 3]),
        error=few(["", "no"]),
    )


@st.composite
def histories(draw: st.DrawFn, moment: int) -> list[RequestRow]:
    rows: list[RequestRow] = []
    for number in range(draw(st.integers(0, 18))):
        rows.append(draw(requests(number, moment, rows)))
    return rows


@st.composite
def scopes(draw: st.DrawFn, moment: int, step: int = 1) -> Scope:
    bounds = st.integers(-HALF_US // step, HALF_US // step).map(lambda n: moment + n * step)
    first, last = sorted(draw(st.tuples(bounds, bounds)))
    return Scope(
        user=draw(few(["", "", "ann"])),
        project=draw(few(["", "", "p"])),
        key=draw(few(["", "", "k"])),
        start_us=draw(few([None, first])),
        end_us=draw(few([None, last])),
    )


def superseded(rows: Sequence[RequestRow]) -> set[Any]:
    users = {each.request_id: each.user for each in rows}
    return {each.retry_of for each in rows if each.retry_of and each.user == users[each.retry_of]}


def is_activity(each: RequestRow) -> bool:
    refused = each.status in (Status.AUTH, Status.INVALID_REQUEST)
    return each.origin != Origin.INTERNAL and not refused


def tokens_of(tokens: Tokens) -> int:
    if tokens.prompt is not None and tokens.completion is not None:
        return tokens.prompt + tokens.completion
    known = (tokens.total, tokens.prompt, tokens.completion)
    return next((number for number in known if number is not None), 0)


def measures_of(each: RequestRow, *, counts: bool) -> dict[str, int]:
    """Return how one request counts; `counts` is false where another one repeats it."""
    t = each.tokens
    active = counts and is_activity(each)
    duration, first = each.duration_us, each.first_token_us
    generated = (
        counts and each.status == Status.OK and (t.completion or 0) > 1
        and duration is not None and first is not None and duration > first
    )  # fmt: skip
    return {
        "records": 1,
        "requests": counts,
        "active": active,
        "messages": each.new_messages if active else 0,
        "tool_calls": each.tool_calls if counts else 0,
        "tokens": tokens_of(t),
        "prompt_tokens": t.prompt or 0,
        "completion_tokens": t.completion or 0,
        "cached_tokens": t.cached or 0,
        "cache_write_tokens": t.cache_write or 0,
        "reasoning_tokens": t.reasoning or 0,
        "timed": counts and duration is not None,
        "duration_us": (duration or 0) if counts else 0,
        "first_tokens": counts and first is not None,
        "first_token_us": (first or 0) if counts else 0,
        "upstream_us": each.upstream_us or 0,
        "queued": counts and (each.queue_us or 0) > 0,
        "queue_us": (each.queue_us or 0) if counts else 0,
        "generated_tokens": (t.completion or 0) - 1 if generated else 0,
        "generating_us": (duration or 0) - (first or 0) if generated else 0,
        "priced": each.cost_nano is not None,
        "cost_nano": each.cost_nano or 0,
        "ref1_priced": each.ref1_nano is not None,
        "ref1_nano": each.ref1_nano or 0,
        "ref2_priced": each.ref2_nano is not None,
        "ref2_nano": each.ref2_nano or 0,
        "energy_uj": int((each.upstream_us or 0) * (each.device_watts or 0)),
        "attempts": len(each.attempts),
        "moved": counts and len(each.attempts) > 1,
    }


def within(each: RequestRow, question: Question) -> bool:
    scope = question.scope
    return (
        scope.user in ("", each.user)
        and scope.project in ("", each.project)
        and scope.key in ("", each.key)
        and (scope.start_us is None or each.ts_us >= scope.start_us)
        and (scope.end_us is None or each.ts_us < scope.end_us)
        and all(getattr(each, name) in values for name, values in question.filters.items())
    )


def key_of(ts_us: int, grain: Grain, zone: ZoneInfo) -> int:
    local = local_time(ts_us, zone)
    day = local.toordinal()
    keys: dict[Grain, Callable[[], int]] = {
        Grain.QUARTER: lambda: ts_us // BUCKET_US,
        Grain.HOUR: lambda: hour_start(ts_us, zone),
        Grain.DAY: lambda: day,
        Grain.WEEK: lambda: day - local.weekday(),
        Grain.MONTH: lambda: date(local.year, local.month, 1).toordinal(),
        Grain.WEEKDAY: local.weekday,
        Grain.HOUR_OF_DAY: lambda: local.hour,
        Grain.HOUR_OF_WEEK: lambda: local.weekday() * 24 + local.hour,
    }
    return keys[grain]()


def local_time(ts_us: int, zone: ZoneInfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts_us)).astimezone(zone)


def hour_start(ts_us: int, zone: ZoneInfo) -> int:
    """Walk back as long as it is the same hour, by the same clock."""
    bucket = ts_us // BUCKET_US
    while same_hour(local_time(bucket * BUCKET_US, zone), local_time(bucket * BUCKET_US - 1, zone)):
        bucket -= 1
    return bucket


def same_hour(one: datetime, other: datetime) -> bool:
    return (one.date(), one.hour, one.utcoffset()) == (other.date(), other.hour, other.utcoffset())


def expected_sums(
    rows: Sequence[RequestRow], question: Question, measures: Sequence[str]
) -> tuple[SumRow, ...]:
    repeated = superseded(rows)
    totals: defaultdict[Any, list[int]] = defaultdict(lambda: [0] * len(measures))
    for each in rows:
        if within(each, question):
            found = measures_of(each, counts=each.request_id not in repeated)
            sums = totals[place(each, question)]
            for at, name in enumerate(measures):
                sums[at] += found[name]
    return tuple(
        SumRow(time, keys, tuple(sums))
        for (time, keys), sums in sorted(totals.items(), key=lambda it: (it[0][0] or 0, it[0][1]))
    )


def place(each: RequestRow, question: Question) -> tuple[int | None, tuple[Any, ...]]:
    time = key_of(each.ts_us, question.grain, question.zone) if question.grain else None
    return time, tuple(getattr(each, name) for name in question.dimensions)


def expected_distincts(rows: Sequence[RequestRow], question: Question) -> tuple[DistinctRow, ...]:
    repeated = superseded(rows)
    parts: defaultdict[Any, list[RequestRow]] = defaultdict(list)
    for each in rows:
        if within(each, question) and is_activity(each) and each.request_id not in repeated:
            parts[place(each, question)].append(each)
    return tuple(
        DistinctRow(time, keys, distinct_of(part))
        for (time, keys), part in sorted(parts.items(), key=lambda it: (it[0][0] or 0, it[0][1]))
    )


def distinct_of(part: Iterable[RequestRow]) -> Distinct:
    part = list(part)
    loose: defaultdict[Any, list[int]] = defaultdict(list)
    for each in part:
        if not each.session and not each.conversation:
            loose[each.user, each.key, each.project].append(each.ts_us)
    sittings = {
        (sitter, ts_us)
        for sitter, times in loose.items()
        for ts_us in times
        # The first request of a sitting is one with no other in the half hour before.
        if not any(0 < ts_us - other <= 30 * MINUTE_US for other in times)
    }
    return Distinct(
        users=len({each.user for each in part} - {""}),
        projects=len({each.project for each in part} - {""}),
        conversations=len({each.conversation for each in part} - {""}),
        sessions=len({each.session for each in part} - {""}),
        loose_conversations=len({it.conversation for it in part if not it.session} - {""}),
        inferred_sessions=len(sittings),
    )
