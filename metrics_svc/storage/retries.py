"""Requests that were sent again: the earlier one becomes a try of the later one.

Records come in any order, and again and again, so both directions are looked at whenever
rows are new. Only requests of the same user: nobody makes another's disappear.
"""

from __future__ import annotations

import json

import aiosqlite

from metrics_svc.storage.calendar import Calendar
from metrics_svc.storage.rolling import roll_again, unroll

_NEW_BUT_REPEATED = """
update request set superseded = 1
where id > ? and exists (
  select 1 from request as later
  join combo as theirs on theirs.id = later.combo
  join combo as own on own.id = request.combo
  where later.retry_of = request.request_id and theirs.user = own.user
)
"""

_REPEATED_BY_NEW = """
select request.id from request as later
join combo as theirs on theirs.id = later.combo
join request on request.request_id = later.retry_of
join combo as own on own.id = request.combo
where later.id > ? and later.retry_of is not null and request.id <= ?
  and theirs.user = own.user and not request.superseded
"""

_SUPERSEDE = "update request set superseded = 1 where id in (select value from json_each(?))"


async def supersede_new(tx: aiosqlite.Connection, last: int) -> None:
    """Mark requests after `last`, which are in no sum yet, that others repeat."""
    await tx.execute(_NEW_BUT_REPEATED, (last,))


async def supersede_old(tx: aiosqlite.Connection, calendar: Calendar, last: int) -> None:
    """Mark requests up to `last` that later ones repeat, and correct the sums."""
    rows = await tx.execute_fetchall(_REPEATED_BY_NEW, (last, last))
    if ids := sorted({row["id"] for row in rows}):
        await unroll(tx, calendar, ids)
        await tx.execute(_SUPERSEDE, (json.dumps(ids),))
        await roll_again(tx, calendar, ids)
