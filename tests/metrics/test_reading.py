"""Reading takes its time and no more, and what it asks for wrongly is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from metrics_svc.model import Attempt, Scope, Status
from metrics_svc.query import Grain, HopRow, Question
from metrics_svc.storage import sqlite
from metrics_svc.storage.sqlite import SqliteStore, open_store
from svckit.errors import ServiceError
from tests.metrics.events import NOW_US, row
from tests.metrics.reading import listed, summed

ENDLESS = "with recursive n (x) as (select 1 union all select x + 1 from n) select max(x) from n"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "metrics.db") as store:
        yield store


async def test_a_report_that_takes_too_long_is_given_up(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite, "REPORT_SECONDS", 0.05)
    with pytest.raises(ServiceError, match=r"longer than 0\.05 s"):
        async with store.reading() as ledger:
            await ledger._source.rows(ENDLESS, {})
    monkeypatch.undo()
    await store.append([row(1)])
    assert len(await listed(store)) == 1


async def test_a_report_that_nobody_waits_for_any_more_ends(store: SqliteStore):
    asked = asyncio.Event()

    async def ask() -> None:
        async with store.reading() as ledger:
            asked.set()
            await ledger._source.rows(ENDLESS, {})

    # More than there are connections to read by.
    for _ in range(3):
        asked.clear()
        task = asyncio.create_task(ask())
        await asked.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert await listed(store) == []


async def test_writing_goes_on_beside_a_long_report(store: SqliteStore):
    async with store.reading() as ledger:
        assert await store.append([row(1)]) == 1
        # It still sees what was there when it began.
        assert await ledger.sums(Question(), ("records",)) == ()
    assert [it.sums for it in await summed(store, Question(), "records")] == [(1,)]


@pytest.mark.parametrize(
    ("question", "measures", "message"),
    [
        (Question(), ("speed",), "'speed' is no measure"),
        (Question(dimensions=("colour",)), ("tokens",), "'colour' is none of user, project"),
        (Question(filters={"request_id": ["x"]}), ("tokens",), "'request_id' is none of"),
    ],
)
async def test_what_there_is_not_cannot_be_summed_up(
    store: SqliteStore, question: Question, measures: tuple[str, ...], message: str
):
    with pytest.raises(ValueError, match=message):
        await summed(store, question, *measures)


async def test_sessions_and_distributions_are_told_apart_by_fewer_dimensions(store: SqliteStore):
    async with store.reading() as ledger:
        with pytest.raises(ValueError, match="'backend' is none of user, project, key, client"):
            await ledger.distincts(Question(dimensions=("backend",)))
        with pytest.raises(ValueError, match="'client' is none of user, project, key, model_used"):
            await ledger.spreads(Question(filters={"client": ["x"]}))
        with pytest.raises(ValueError, match="not by time"):
            await ledger.spreads(Question(grain=Grain.DAY))


async def test_moves_to_another_backend_are_told_with_what_failed(store: SqliteStore):
    lost = Attempt(
        backend="a", model="m", status=Status.TIMEOUT, http_code=0, duration_us=5, error="late"
    )
    answer = Attempt(
        backend="b", model="n", status=Status.OK, http_code=200, duration_us=7, error=""
    )
    fields = {"model_used": "n", "backend": "b", "attempts": (lost, lost, answer)}
    await store.append([row(1, user="ann", **fields), row(2, **fields), row(3)])
    async with store.reading() as ledger:
        (hop,) = await ledger.hops(Scope())
        (own,) = await ledger.hops(Scope(user="ann"))
        assert await ledger.hops(Scope(end_us=NOW_US)) == ()
    assert hop == HopRow(
        backend="a", model="m", status=Status.TIMEOUT, to_backend="b", to_model="n",
        count=4, duration_us=20,
    )  # fmt: skip
    assert own.count == 2
