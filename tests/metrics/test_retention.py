"""What is kept for how long, and what deleting leaves behind."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest

from metrics_svc.model import Attempt, Origin, Scope, Status, Tokens
from metrics_svc.query import Question
from metrics_svc.reports.use import Use
from metrics_svc.storage.base import Kept
from metrics_svc.storage.measures import MEASURES
from metrics_svc.storage.sqlite import SqliteStore, open_store
from tests.metrics.events import DAY_US, NOW_US, row
from tests.metrics.reading import listed, measured, summed, used

SQL = files("metrics_svc.storage") / "sql"
TRY = Attempt(backend="a", model="m", status=Status.TIMEOUT, http_code=0, duration_us=4, error="")
MONTHS = Kept(request_days=90, attempt_days=30)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "metrics.db") as store:
        yield store


def old(days: float, number: int = 0, **fields: object):
    defaults = {
        "user": "ann",
        "session": f"s{number % 3}",
        "model_used": "m",
        "backend": "b",
        "tokens": Tokens(prompt=1),
        "duration_us": 1000 * number + 1,
        "attempts": (TRY, TRY),
    }
    return row(number, NOW_US - int(days * DAY_US), **{**defaults, **fields})


async def test_reports_are_the_same_after_requests_are_deleted(store: SqliteStore):
    rows = [old(days, number) for number, days in enumerate((400, 95.3, 95.2, 89, 31, 2, 0))]
    await store.append(rows)
    before: Use = await used(store)
    speed = await measured(store)
    async with store.reading() as ledger:
        hops = await ledger.hops(Scope())
    assert await store.prune(MONTHS, NOW_US) == 3
    assert await used(store) == before
    assert await measured(store) == speed
    async with store.reading() as ledger:
        assert await ledger.hops(Scope()) == hops
    assert [len(it.attempts) for it in await listed(store)] == [2, 2, 0, 0]
    assert await store.prune(MONTHS, NOW_US) == 0


async def test_nothing_is_deleted_where_all_is_to_be_kept(store: SqliteStore):
    await store.append([old(4000)])
    assert await store.prune(Kept(request_days=0, attempt_days=0), NOW_US) == 0
    assert len((await listed(store))[0].attempts) == 2


async def test_one_that_comes_too_late_counts_once_and_is_told(store: SqliteStore):
    await store.prune(MONTHS, NOW_US)
    late = old(100, 7)
    assert await store.append([late, late]) == 1
    assert await store.append([late]) == 0
    await store.prune(MONTHS, NOW_US)
    assert await store.append([late]) == 0
    (total,) = await summed(store, Question(), "requests", "tokens")
    assert total.sums == (1, 1)
    assert await store.late_count() == 1


async def test_what_was_imported_counts_once_however_late_it_comes_again(store: SqliteStore):
    history = [old(days, n, origin=Origin.IMPORT) for n, days in enumerate((400, 89, 1))]
    for later in (0, 30, 200, 2000):
        assert await store.append(history) == (0 if later else 3)
        await store.prune(MONTHS, NOW_US + later * DAY_US)
        (total,) = await summed(store, Question(), "requests", "tokens")
        assert total.sums == (3, 3)
    assert await listed(store) == []


async def test_the_file_shrinks(tmp_path: Path):
    path = tmp_path / "metrics.db"
    async with open_store(path) as store:
        await store.append([old(100 + n / 1000, n) for n in range(3000)])
        await store.prune(Kept(request_days=0, attempt_days=0), NOW_US)
    full = path.stat().st_size
    async with open_store(path) as store:
        assert await store.prune(MONTHS, NOW_US) == 3000
    assert path.stat().st_size < full / 2


async def test_days_of_the_plan_are_there_to_be_queried(tmp_path: Path):
    path = tmp_path / "metrics.db"
    ended = (Status.OK, Status.OK, Status.UPSTREAM_ERROR, Status.CLIENT_CANCELLED)
    async with open_store(path) as store:
        await store.append(
            [
                old(0, number, status=status, new_messages=2, conversation="c")
                for number, status in enumerate(ended)
            ]
        )
        await store.append([old(1, 9, status=Status.AUTH, model_used="", backend="")])
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    (day,) = [dict(each) for each in connection.execute("select * from daily_stats")]
    connection.close()
    assert day.pop("success_rate") == pytest.approx(2 / 3)
    assert day == {
        "date": "2026-11-21",
        "total_requests": 4,
        "total_messages": 8,
        "total_tokens": 4,
        "unique_conversations": 1,
        "unique_sessions": 3,
        "models_used": '{"m":4}',
        "backends_used": '{"b":4}',
        "avg_duration_ms": pytest.approx(1.501),
        "updated_at": "2026-11-21 10:30:00",
    }


def scripts() -> str:
    return "\n".join(it.read_text() for it in sorted(SQL.iterdir(), key=lambda it: it.name))


async def tables(path: Path) -> dict[str, list[str]]:
    async with open_store(path):
        pass
    connection = sqlite3.connect(path)
    found = {
        name: [column[1] for column in connection.execute(f"pragma table_info({name})")]
        for (name,) in connection.execute(
            "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'"
        )
    }
    connection.close()
    return found


async def test_every_table_says_how_long_it_is_kept(tmp_path: Path):
    told = {"dim", "meta", "migration"}  # said in the script for all of the first ones
    for comment, table in re.findall(r"((?:^--.*\n)+)create table (\w+)", scripts(), re.MULTILINE):
        if "keeps:" in comment:
            told.add(table.removeprefix("short_"))
    assert set(await tables(tmp_path / "metrics.db")) <= told


async def test_sums_have_a_column_for_each_measure(tmp_path: Path):
    columns = await tables(tmp_path / "metrics.db")
    assert columns["usage15"] == ["bucket", "combo", *MEASURES]
    assert columns["usage_day"] == ["day", "combo", *MEASURES]
