"""What a client library sent again is one request, whatever order its records come in."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lair.metrics.v1 import report_service_pb2 as report
from lair.metrics.v1 import usage_pb2 as pb
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from metrics_svc.model import RequestRow, Status, Tokens
from metrics_svc.reports.use import Use
from metrics_svc.storage.sqlite import open_store
from metrics_svc.zones import day_of
from tests.metrics.events import DAY_US, NOW_US, Stubs, record, row, running, uuid
from tests.metrics.reading import UTC, used

SECOND_US = 1_000_000
MIDNIGHT_US = NOW_US - NOW_US % DAY_US


@pytest.fixture
async def stubs(tmp_path: Path) -> AsyncIterator[Stubs]:
    async with running(tmp_path / "metrics.db") as stubs:
        yield stubs


def tries() -> list[pb.RequestRecord]:
    """Return three tries of one request around midnight; the last one succeeds."""
    failed = {"status": pb.STATUS_UPSTREAM_ERROR, "new_message_count": 1}
    at = [MIDNIGHT_US - SECOND_US, MIDNIGHT_US, MIDNIGHT_US + SECOND_US]
    ids = [str(uuid(n, ts_us)) for n, ts_us in enumerate(at)]
    return [
        record(0, at[0], tokens=(5, 0), session_id="a", project="p", **failed),
        record(1, at[1], tokens=(5, 1), retry_of=ids[0], **failed),
        record(2, at[2], tokens=(5, 9), retry_of=ids[1], new_message_count=2),
    ]


async def board(stubs: Stubs, **scope: str) -> report.GetDashboardResponse:
    request = report.GetDashboardRequest(scope=report.ReportScope(**scope))
    return await stubs.report.GetDashboard(request, timeout=10)


async def record_each(stubs: Stubs, records: Sequence[pb.RequestRecord]) -> None:
    for each in records:
        await stubs.usage.RecordRequests(RecordRequestsRequest(records=[each]), timeout=10)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
async def test_three_tries_are_one_request_in_whatever_order(stubs: Stubs, order: tuple[int, ...]):
    sent = tries()
    await record_each(stubs, [sent[n] for n in order] + sent)
    told = await board(stubs)
    assert (told.request_count, told.message_count, told.session_count) == (1, 2, 1)
    assert [(it.status, it.request_count) for it in told.statuses] == [(pb.STATUS_OK, 1)]
    assert (told.active_day_count, told.started_date) == (1, "2026-11-21")
    assert told.project_count == 0
    assert told.tokens.total_count == 25  # those of all tries were used
    assert told.tokens.known_ratio == 1


async def test_tries_of_one_batch_are_one_request(stubs: Stubs):
    await stubs.usage.RecordRequests(RecordRequestsRequest(records=tries()), timeout=10)
    assert (await board(stubs)).request_count == 1


async def test_every_try_is_listed_and_names_the_one_before(stubs: Stubs):
    sent = tries()
    await record_each(stubs, sent)
    page = await stubs.report.ListRequests(report.ListRequestsRequest(), timeout=10)
    assert list(page.records) == sent[::-1]


@pytest.mark.parametrize("retry_of", ["req-1", str(uuid(1)), str(uuid(1)).upper(), str(uuid(77))])
async def test_what_repeats_nothing_that_is_known_counts(stubs: Stubs, retry_of: str):
    await record_each(stubs, [record(2), record(1, retry_of=retry_of)])
    assert (await board(stubs)).request_count == 2


async def test_nobody_makes_anothers_request_disappear(stubs: Stubs):
    await record_each(
        stubs,
        [
            record(1, user_id="ann"),
            record(2, user_id="bob", retry_of=str(uuid(1))),
            record(3, retry_of=str(uuid(1))),
        ],
    )
    assert (await board(stubs, user_id="ann")).request_count == 1


async def test_the_beginning_moves_on_when_the_first_request_was_repeated(tmp_path: Path):
    first, second = row(1, NOW_US), row(2, NOW_US + DAY_US, status=Status.AUTH, retry_of=uuid(1))
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append([first])
        await store.append([second])
        assert (await used(store)).days == ()
        await store.append([row(3, NOW_US + 2 * DAY_US)])
        (day,) = (await used(store)).days
        assert day.day == day_of(UTC, NOW_US + 2 * DAY_US)


@st.composite
def chains(draw: st.DrawFn) -> list[RequestRow]:
    """Draw requests of which each may repeat one before it, of the same user."""
    rows: list[RequestRow] = []
    for number in range(draw(st.integers(1, 8))):
        user = draw(st.sampled_from(["", "ann"]))
        before = [each.request_id for each in rows if each.user == user]
        rows.append(
            row(
                number,
                NOW_US + number * SECOND_US * 400,
                user=user,
                status=draw(st.sampled_from([Status.OK, Status.TIMEOUT, Status.AUTH])),
                tokens=Tokens(prompt=draw(st.integers(0, 3))),
                retry_of=draw(st.none() | st.sampled_from(before)) if before else None,
            )
        )
    return rows


async def counted(batches: Sequence[Sequence[RequestRow]]) -> Use:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "metrics.db") as store:
            for batch in batches:
                await store.append(batch)
            return await used(store)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), rows=chains())
async def test_reports_do_not_depend_on_when_a_record_comes(
    data: st.DataObject, rows: list[RequestRow]
):
    order = data.draw(st.permutations(rows))
    again = data.draw(st.lists(st.sampled_from(rows), max_size=3))
    use = await counted([[each] for each in (*order, *again)])
    assert use == await counted([rows])
    repeated = {each.retry_of for each in rows}
    assert sum(group.all_requests for group in use.groups) == sum(
        each.request_id not in repeated for each in rows
    )
    assert sum(group.tokens for group in use.groups) == sum(r.tokens.prompt or 0 for r in rows)
