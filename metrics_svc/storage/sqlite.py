"""Requests and their sums in one SQLite file (schema: `sql/`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import aiosqlite
import msgspec

from metrics_svc.model import BUCKET_US, Origin, RequestRow
from metrics_svc.storage.base import Kept
from metrics_svc.storage.calendar import Calendar, kept_calendar
from metrics_svc.storage.combos import Combos, combo_of
from metrics_svc.storage.combos import labels_of as labels_of_combos
from metrics_svc.storage.dims import MAX_LABELS, Labels
from metrics_svc.storage.ledger import SqliteLedger
from metrics_svc.storage.retention import FOR_EVER, prune
from metrics_svc.storage.retries import supersede_new, supersede_old
from metrics_svc.storage.rolling import MAKE_DELTA, roll
from metrics_svc.storage.rows import (
    INSERT_ATTEMPT,
    INSERT_REQUESTS,
    attempt_parameters,
    labels_of,
    request_parameters,
)
from metrics_svc.storage.sums import Source
from svckit.errors import ServiceError
from svckit.sqlite import Database, open_database
from svckit.times import now_us

REPORT_SECONDS = 10.0
_INTERRUPT_SECONDS = 0.02
_ROLLED_AT_ONCE = 2000
_UTC = ZoneInfo("UTC")


class SqliteStore:
    """A `MetricsStore` in one SQLite file. Made by `open_store`."""

    def __init__(self, database: Database, calendar: Calendar, max_labels: int) -> None:
        self._database = database
        self._calendar = calendar
        self._labels = Labels(max_labels)
        self._combos = Combos()

    async def append(self, rows: Sequence[RequestRow]) -> int:
        """Keep those whose id is new, with their attempts; return how many."""
        try:
            async with self._database.transaction() as tx:
                rows = await self._not_seen_late(tx, rows)
                return await self._append(tx, rows)
        except BaseException:
            self._labels.forget()  # what the transaction made of them is gone
            self._combos.forget()
            raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqliteLedger]:
        """Lend the ledger as it is now, for a limited time."""
        async with self._database.reader() as connection:
            try:
                async with asyncio.timeout(REPORT_SECONDS):
                    await connection.execute("begin")
                    sealed = await _number(connection, "sealed")
                    yield SqliteLedger(Source(connection, self._calendar, sealed))
            except TimeoutError as error:
                await asyncio.shield(_break_off(connection))
                raise ServiceError(
                    "SERVICE_UNAVAILABLE",
                    f"the report took longer than {REPORT_SECONDS:g} s; ask for a shorter time",
                ) from error
            except BaseException:
                await asyncio.shield(_break_off(connection))
                raise
            await connection.rollback()

    async def prune(self, kept: Kept, now_us: int) -> int:
        """Delete what is older than it is kept; return how many requests. Sums stay."""
        return await prune(self._database, kept, now_us)

    async def late_count(self) -> int:
        """Return how many requests came when those of their time were already deleted."""
        async with self._database.reader() as connection:
            return await _number(connection, "late")

    async def _append(self, tx: aiosqlite.Connection, rows: Sequence[RequestRow]) -> int:
        combos = [combo_of(row) for row in rows]
        unknown = self._combos.unknown(combos)
        ids = await self._labels.numbered(tx, [*labels_of_combos(unknown), *labels_of(rows)])
        numbers = await self._combos.numbered(tx, unknown, ids)
        (last,) = await tx.execute_fetchall("select coalesce(max(id), 0) from request")
        parameters = request_parameters(rows, [numbers[combo] for combo in combos], ids)
        await tx.execute(INSERT_REQUESTS, parameters)
        # Ids only grow within a transaction, so these are the rows that are new.
        ((new,),) = await tx.execute_fetchall(_NEW, tuple(last))
        if new == "[]":
            return 0
        first_sent = {row.request_id.bytes: row for row in reversed(rows)}
        attempts = [
            parameters
            for number, request_id in await tx.execute_fetchall(_TRIED, tuple(last))
            for parameters in attempt_parameters(number, first_sent[request_id], ids)
        ]
        await tx.executemany(INSERT_ATTEMPT, attempts)
        await supersede_new(tx, last[0])
        numbers_of_new = msgspec.json.decode(new, type=list[int])
        await _roll(tx, self._calendar, numbers_of_new)
        await supersede_old(tx, self._calendar, last[0])
        return len(numbers_of_new)

    async def _not_seen_late(
        self, tx: aiosqlite.Connection, rows: Sequence[RequestRow]
    ) -> Sequence[RequestRow]:
        """Leave out what came too late for its quarter of an hour and was counted already."""
        sealed_us = await _number(tx, "sealed") * BUCKET_US
        late = {row.request_id.bytes: row.origin for row in rows if row.ts_us < sealed_us}
        if not late:
            return rows
        fresh = set()
        for request_id, origin in late.items():
            seen_us = FOR_EVER if origin is Origin.IMPORT else now_us()
            cursor = await tx.execute(_NOTE_LATE, (request_id, seen_us, request_id))
            if cursor.rowcount:
                fresh.add(request_id)
        await tx.execute("update meta set value = value + ? where name = 'late'", (len(fresh),))
        known = late.keys() - fresh
        return [row for row in rows if row.request_id.bytes not in known]


_NEW = "select json_group_array(id) from (select id from request where id > ? order by id)"
# Those whose attempts they do not tell themselves.
_TRIED = "select id, request_id from request where id > ? and attempts not in (0, 1)"

# One that is still there is a duplicate, and not late.
_NOTE_LATE = """
insert into late select ?, ? where not exists (select 1 from request where request_id = ?)
on conflict do nothing
"""


@asynccontextmanager
async def open_store(
    path: Path, zone: ZoneInfo = _UTC, *, max_labels: int = MAX_LABELS
) -> AsyncIterator[SqliteStore]:
    """Open the store in `path`, made if it does not exist. Raises `StorageError`.

    Reports by the days of `zone` are the fastest; every zone is right.
    """
    async with open_database(path, files(__package__) / "sql") as database:
        async with database.transaction() as tx:
            await tx.execute(MAKE_DELTA)
            calendar = await kept_calendar(tx, zone)
        while await _roll_more(database, calendar):
            pass
        yield SqliteStore(database, calendar, max_labels)


async def _roll_more(database: Database, calendar: Calendar) -> bool:
    """Sum up some requests that an older lair kept; tell whether there were any."""
    async with database.transaction() as tx:
        rolled = await _number(tx, "rolled")
        rows = await tx.execute_fetchall(
            "select id from request where id > ? order by id limit ?", (rolled, _ROLLED_AT_ONCE)
        )
        if ids := [row["id"] for row in rows]:
            await _roll(tx, calendar, ids)
        return bool(ids)


async def _roll(tx: aiosqlite.Connection, calendar: Calendar, ids: Sequence[int]) -> None:
    await roll(tx, calendar, ids)
    await tx.execute("update meta set value = ? where name = 'rolled'", (ids[-1],))


async def _number(connection: aiosqlite.Connection, name: str) -> int:
    ((value,),) = await connection.execute_fetchall(
        "select value from meta where name = ?", (name,)
    )
    return int(value)


async def _break_off(connection: aiosqlite.Connection) -> None:
    """End a transaction whose statement may still run, or be about to."""
    rollback = asyncio.ensure_future(connection.rollback())
    while not rollback.done():
        await connection.interrupt()
        await asyncio.wait([rollback], timeout=_INTERRUPT_SECONDS)
    if rollback.exception():  # it was itself what was interrupted
        await connection.rollback()
