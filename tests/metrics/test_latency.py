"""How fast answers were, against a naive recomputation."""

from __future__ import annotations

import math
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lair.metrics.v1 import report_service_pb2 as report
from lair.metrics.v1 import usage_pb2 as pb
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from metrics_svc.model import Origin, RequestRow, Scope, Status, Tokens
from metrics_svc.storage.sqlite import open_store
from svckit.times import to_timestamp
from tests.metrics.events import HOUR_US, NOW_US, Stubs, record, row, running, uuid
from tests.metrics.reading import measured

few = st.sampled_from
times = st.none() | st.integers(0, 10**7)


@pytest.fixture
async def stubs(tmp_path: Path) -> AsyncIterator[Stubs]:
    async with running(tmp_path / "metrics.db") as stubs:
        yield stubs


async def told(stubs: Stubs, **scope: object) -> report.GetLatencyResponse:
    request = report.GetLatencyRequest(scope=report.ReportScope(**scope))  # type: ignore[arg-type]  # any field
    return await stubs.report.GetLatency(request, timeout=10)


async def recorded(stubs: Stubs, *records: pb.RequestRecord) -> None:
    await stubs.usage.RecordRequests(RecordRequestsRequest(records=records), timeout=10)


def spread(told: report.Percentiles) -> tuple[float, ...]:
    return told.p50, told.p90, told.p95, told.p99


async def test_without_requests_nothing_was_measured(stubs: Stubs):
    answer = await told(stubs)
    assert (answer.total.request_count, answer.total.name) == (0, "")
    assert not answer.total.duration_ms.HasField("p50")
    assert (len(answer.models), len(answer.backends)) == (0, 0)


async def test_models_and_backends_are_told_apart_the_most_used_first(stubs: Stubs):
    await recorded(
        stubs,
        record(1, model="m", backend="a", duration_us=1000),
        record(2, model="m", backend="b", duration_us=3000, first_token_us=1000, queue_us=500),
        record(3, model="n", backend="b", duration_us=9000, tokens=(1, 9), first_token_us=1000),
    )
    answer = await told(stubs)
    assert answer.total.request_count == 3
    assert spread(answer.total.duration_ms) == pytest.approx((3, 9, 9, 9), rel=0.01)
    assert [(it.name, it.request_count) for it in answer.models] == [("m", 2), ("n", 1)]
    assert [(it.name, it.request_count) for it in answer.backends] == [("b", 2), ("a", 1)]
    assert answer.total.queue_ms.p50 == pytest.approx(0.5, rel=0.01)
    # Eight tokens after the first in 8 ms.
    speed = spread(answer.models[1].tokens_per_second)
    assert speed == pytest.approx((1000, 1000, 1000, 1000), rel=0.01)
    assert answer.models[0].tokens_per_second == report.Percentiles()


@pytest.mark.parametrize(
    "fields",
    [
        {"status": pb.STATUS_TIMEOUT},
        {"status": pb.STATUS_CLIENT_CANCELLED},
        {"origin": pb.ORIGIN_INTERNAL},
    ],
    ids=str,
)
async def test_only_answers_of_others_that_ended_well_are_measured(stubs: Stubs, fields: dict):  # type: ignore[type-arg]  # of a record
    await recorded(stubs, record(1, duration_us=5, **fields), record(2))
    assert (await told(stubs)).total.request_count == 0


async def test_a_try_that_was_repeated_is_not_measured(stubs: Stubs):
    await recorded(stubs, record(1, duration_us=5), record(2, duration_us=7, retry_of=str(uuid(1))))
    answer = await told(stubs)
    assert answer.total.request_count == 1
    assert answer.total.duration_ms.p50 == pytest.approx(0.007, rel=0.01)


async def test_a_scope_holds_nobody_elses_answers(stubs: Stubs):
    await recorded(
        stubs,
        record(1, user_id="ann", key_id="k", project="p", duration_us=1000),
        record(2, NOW_US - HOUR_US, user_id="ann", duration_us=2000),
        record(3, user_id="bob", key_id="q", duration_us=4000, model="secret"),
        record(4, duration_us=8000),
    )
    scopes: list[tuple[dict[str, object], list[float]]] = [
        ({"user_id": "ann"}, [1, 2]),
        ({"user_id": "bob"}, [4]),
        ({"user_id": "eve"}, []),
        ({"key_id": "k"}, [1]),
        ({"key_id": "q", "user_id": "ann"}, []),
        ({"project": "p"}, [1]),
        ({"start_time": to_timestamp(NOW_US)}, [1, 4, 8]),
        ({"end_time": to_timestamp(NOW_US)}, [2]),
    ]
    for scope, expected in scopes:
        answer = await told(stubs, **scope)
        assert answer.total.request_count == len(expected)
        if expected:
            assert answer.total.duration_ms.p99 == pytest.approx(max(expected), rel=0.01)
        if scope.get("user_id") == "ann":
            assert not answer.models


async def test_a_key_narrows_every_report(stubs: Stubs):
    await recorded(stubs, record(1, key_id="k", tokens=(1, 0)), record(2, tokens=(2, 0)))
    scope = report.ReportScope(key_id="k")
    board = await stubs.report.GetDashboard(report.GetDashboardRequest(scope=scope), timeout=10)
    page = await stubs.report.ListRequests(report.ListRequestsRequest(scope=scope), timeout=10)
    assert (board.request_count, board.tokens.total_count) == (1, 1)
    assert [it.caller.key_id for it in page.records] == ["k"]


@st.composite
def rows(draw: st.DrawFn, number: int) -> RequestRow:
    return row(
        number,
        user=draw(few(["", "ann"])),
        key=draw(few(["", "k"])),
        model_used=draw(few(["", "m", "n"])),
        backend=draw(few(["", "a", "b"])),
        status=draw(few([*[Status.OK] * 5, Status.TIMEOUT])),
        origin=draw(few([Origin.CLIENT, Origin.CLIENT, Origin.IMPORT, Origin.INTERNAL])),
        duration_us=draw(times),
        first_token_us=draw(times),
        queue_us=draw(times),
        tokens=Tokens(completion=draw(st.none() | st.integers(0, 5000))),
        retry_of=draw(st.none() | few([uuid(n) for n in range(number)])) if number else None,
    )


def ranked(values: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that so many of a hundred do not exceed."""
    enough = (v for v in values if sum(o <= v for o in values) * 100 >= percent * len(values))
    return min(enough, default=None)


def rate(each: RequestRow) -> float | None:
    first, last, tokens = each.first_token_us, each.duration_us, each.tokens.completion
    if first is None or last is None or tokens is None or tokens < 2 or last <= first:
        return None
    return (tokens - 1) / ((last - first) / 1e6)


MEASURES: dict[str, Callable[[RequestRow], float | None]] = {
    "duration_ms": lambda each: None if each.duration_us is None else each.duration_us / 1000,
    "first_token_ms": lambda r: None if r.first_token_us is None else r.first_token_us / 1000,
    "queue_ms": lambda each: None if each.queue_us is None else each.queue_us / 1000,
    "tokens_per_second": rate,
}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), scope=few([Scope(), Scope(user="ann"), Scope(key="k")]))
async def test_latency_equals_one_computed_request_by_request(data: st.DataObject, scope: Scope):
    sent = [data.draw(rows(number)) for number in range(data.draw(st.integers(0, 30)))]
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "metrics.db") as store:
            await store.append(sent)
            answer = await measured(store, scope)
    users = {each.request_id: each.user for each in sent}
    repeated = {each.retry_of for each in sent if each.user == users.get(each.retry_of)}  # type: ignore[arg-type]  # None is none
    within_scope = [
        each
        for each in sent
        if each.status == Status.OK
        and each.origin != Origin.INTERNAL
        and each.duration_us is not None
        and each.request_id not in repeated
        and scope.user in ("", each.user)
        and scope.key in ("", each.key)
    ]
    for share, within in [
        (answer.total, within_scope),
        *((it, [r for r in within_scope if r.model_used == it.name]) for it in answer.models),
        *((it, [r for r in within_scope if r.backend == it.name]) for it in answer.backends),
    ]:
        assert share.requests == len(within)
        for name, value_of in MEASURES.items():
            values = [value for each in within if (value := value_of(each)) is not None]
            for percent in (50, 90, 95, 99):
                found = getattr(getattr(share, name), f"p{percent}")
                expected = ranked(values, percent)
                assert (found is None) == (expected is None)
                assert found is None or math.isclose(found, expected or 0.0, rel_tol=0.01)
    assert {it.name for it in answer.models} == {r.model_used for r in within_scope} - {""}
    assert {it.name for it in answer.backends} == {r.backend for r in within_scope} - {""}
