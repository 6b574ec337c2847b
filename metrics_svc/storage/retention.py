"""Deleting what is older than it is kept: requests and attempts, never sums.

Before requests of a quarter of an hour go, it is sealed: from then on its sums are the truth,
and what still comes for it is added to them. Each transaction is small, so that nothing waits
long for it.

Of what was imported the ids stay, for its user may import the same history again in years.
"""

from __future__ import annotations

from metrics_svc.model import BUCKET_US, Origin
from metrics_svc.storage.base import Kept
from svckit.sqlite import Database

_ROWS_AT_ONCE = 500
_PAGES_AT_ONCE = 500
_DAY_US = 24 * 60 * 60 * 1_000_000
# When what is never deleted was seen.
FOR_EVER = 2**62

_SEAL = "update meta set value = max(value, ?) where name = 'sealed'"

_OLD = "select id from request where second < ? / 1000000 order by second, id limit ?"
_KEEP_IDS = f"""
insert or ignore into late select request_id, {FOR_EVER}
from request cross join combo on combo.id = request.combo and combo.origin = {Origin.IMPORT:d}
where request.id in ({_OLD})
"""  # noqa: S608  # fixed names
_DELETE_REQUESTS = f"delete from request where id in ({_OLD})"  # noqa: S608  # fixed names
_DELETE_ATTEMPTS = """
delete from attempt where (request, n) in (
  select attempt.request, n from attempt join request on request.id = attempt.request
  where ts_us < ? limit ?
)
"""
_DELETE_LATE = """
delete from late where request_id in (select request_id from late where seen_us < ? limit ?)
"""


async def prune(database: Database, kept: Kept, now_us: int) -> int:
    """Delete what is older than it is kept; return how many requests."""
    pruned = 0
    if kept.attempt_days:
        await _delete(database, _DELETE_ATTEMPTS, now_us - kept.attempt_days * _DAY_US)
    if kept.request_days:
        before_us = (now_us - kept.request_days * _DAY_US) // BUCKET_US * BUCKET_US
        async with database.transaction() as tx:
            await tx.execute(_SEAL, (before_us // BUCKET_US,))
        pruned = await _delete(database, _DELETE_REQUESTS, before_us, first=_KEEP_IDS)
        await _delete(database, _DELETE_LATE, before_us)
    while await database.give_back(_PAGES_AT_ONCE):
        pass
    return pruned


async def _delete(database: Database, statement: str, before_us: int, *, first: str = "") -> int:
    """Delete in small transactions, each of which begins with `first`; return how many."""
    deleted = 0
    while True:
        async with database.transaction() as tx:
            if first:
                await tx.execute(first, (before_us, _ROWS_AT_ONCE))
            cursor = await tx.execute(statement, (before_us, _ROWS_AT_ONCE))
            count = cursor.rowcount
        deleted += count
        if count < _ROWS_AT_ONCE:
            return deleted
