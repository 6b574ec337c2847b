"""Adding requests to the sums, and taking them out again.

Sums of 15 minutes and of days, who was there, and distributions: all of them add up, so a
request that changes is taken out, changed and put in. This happens in the transaction that
writes the request, and so the sums are right at every commit, and once only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import aiosqlite

from metrics_svc.storage.busy import roll_busy
from metrics_svc.storage.calendar import Calendar
from metrics_svc.storage.crowds import Place, add_crowds, count_again
from metrics_svc.storage.measures import ADD_EXCLUDED, COLUMNS, SIGNED_SUMS, SUMS
from metrics_svc.storage.spreads import roll_spreads

# Of the writer's connection: what the requests that are rolled add up to.
MAKE_DELTA = f"create temp table delta (bucket, combo, {COLUMNS})"

# The local day of a bucket.
_DAY = "(select day from day where first <= {0} order by first desc limit 1)"
_MONTH = "(select month from day where first <= bucket order by first desc limit 1)"

_TOUCHED = """json_each(:ids) as it
cross join request on request.id = it.value cross join combo on combo.id = request.combo"""
_COUNTED = "not request.superseded and combo.active"
_NAMED = f"{_COUNTED} and (request.session or request.conversation)"
_LOOSE = f"{_COUNTED} and not ifnull(request.session, 0) and not ifnull(request.conversation, 0)"

_DELTA = f"""
insert into delta select request.bucket, request.combo, {SIGNED_SUMS}
from {_TOUCHED} group by 1, 2
"""  # noqa: S608  # fixed names

_NEW_BUCKETS = """
select distinct bucket from delta where bucket >= ifnull(
  (select after from day where first <= bucket order by first desc limit 1), bucket
)
"""

_ROLL_QUARTERS = f"""
insert into usage15 (bucket, combo, {COLUMNS}) select * from delta where true
on conflict (bucket, combo) do update set {ADD_EXCLUDED}
"""  # noqa: S608  # fixed names

_ROLL_WHO = f"""
insert into usage15_who (bucket, who, {COLUMNS})
select bucket, who, {SUMS.replace("sum(", "sum(delta.")}
from delta cross join combo on combo.id = delta.combo group by 1, 2
on conflict (bucket, who) do update set {ADD_EXCLUDED}
"""  # noqa: S608  # fixed names

_ROLL_DAYS = f"""
insert into usage_day (day, combo, {COLUMNS})
select {_DAY.format("bucket")} as day, combo, {SUMS} from delta group by 1, 2
on conflict (day, combo) do update set {ADD_EXCLUDED}
"""  # noqa: S608  # fixed names

_ROLL_MONTHS = f"""
insert into usage_month (month, combo, {COLUMNS})
select {_MONTH} as month, combo, {SUMS} from delta group by 1, 2
on conflict (month, combo) do update set {ADD_EXCLUDED}
"""  # noqa: S608  # fixed names

_ROLL_PRESENCE = f"""
insert into presence15
select request.bucket, combo.who, ifnull(session, 0), ifnull(conversation, 0), :sign * count(*)
from {_TOUCHED} where {_NAMED} group by 1, 2, 3, 4
on conflict do update set n = n + excluded.n
"""  # noqa: S608  # fixed names

_PRESENT = f"""
select distinct {_DAY.format("request.bucket")}, combo.who, ifnull(session, 0),
  ifnull(conversation, 0)
from {_TOUCHED} where {_NAMED}
"""  # noqa: S608  # fixed names

_ROLL_SITTINGS = f"""
insert into sitting15 select request.bucket, combo.who, min(ts_us), max(ts_us)
from {_TOUCHED} where {_LOOSE} group by 1, 2
on conflict do update set first_us = min(first_us, excluded.first_us),
  last_us = max(last_us, excluded.last_us)
"""  # noqa: S608  # fixed names

# Ends do not add up: what is left is read again, where it still is there.
_FORGET_SITTINGS = f"""
delete from sitting15 where (bucket, who) in (
  select request.bucket, combo.who from {_TOUCHED} where {_LOOSE}
) and bucket >= (select value from meta where name = 'sealed')
"""  # noqa: S608  # fixed names
_SIT_AGAIN = f"""
insert into sitting15 select request.bucket, combo.who, min(request.ts_us), max(request.ts_us)
from (
  select distinct request.bucket, combo.who from {_TOUCHED} where {_LOOSE}
) as pair
cross join request on request.second >= pair.bucket * 900
  and request.second < (pair.bucket + 1) * 900
cross join combo on combo.id = request.combo and combo.who = pair.who
where {_LOOSE} and request.id not in (select value from json_each(:ids))
  and pair.bucket >= (select value from meta where name = 'sealed')
group by 1, 2
"""  # noqa: S608  # fixed names

_ROLL_HOPS = """
insert into hop15
select request.bucket, combo.who, ifnull(attempt.backend, 0), ifnull(attempt.model, 0),
  attempt.status, combo.backend, combo.model_used, count(*), sum(attempt.duration_us)
from json_each(:ids) as it cross join attempt on attempt.request = it.value
cross join request on request.id = it.value cross join combo on combo.id = request.combo
where attempt.n < request.attempts - 1
group by 1, 2, 3, 4, 5, 6, 7
on conflict do update set n = n + excluded.n, duration_us = duration_us + excluded.duration_us
"""

_DROP_QUARTERS = """
delete from usage15 where (bucket, combo) in (select bucket, combo from delta) and records = 0
"""
_DROP_WHO = """
delete from usage15_who where records = 0 and (bucket, who) in (
  select bucket, who from delta cross join combo on combo.id = delta.combo
)
"""
_DROP_DAYS = f"""
delete from usage_day where records = 0
  and (day, combo) in (select {_DAY.format("bucket")}, combo from delta)
"""  # noqa: S608  # fixed names
_DROP_MONTHS = f"""
delete from usage_month where records = 0
  and (month, combo) in (select {_MONTH}, combo from delta)
"""  # noqa: S608  # fixed names
_DROP_PRESENCE = f"""
delete from presence15 where n = 0 and (bucket, who, session, conversation) in (
  select request.bucket, combo.who, ifnull(session, 0), ifnull(conversation, 0)
  from {_TOUCHED} where {_NAMED}
)
"""  # noqa: S608  # fixed names
_TAKEN_OUT = (
    *(_DROP_QUARTERS, _DROP_WHO, _DROP_DAYS, _DROP_MONTHS, _DROP_PRESENCE),
    *(_FORGET_SITTINGS, _SIT_AGAIN),
)


async def roll(tx: aiosqlite.Connection, calendar: Calendar, ids: Sequence[int]) -> None:
    """Add the requests `ids`, with their attempts, which are in no sum yet."""
    await _sum_up(tx, calendar, ids, 1)
    for statement in (_ROLL_SITTINGS, _ROLL_HOPS):
        await tx.execute(statement, {"ids": json.dumps(ids)})
    await roll_busy(tx, ids)


async def roll_again(tx: aiosqlite.Connection, calendar: Calendar, ids: Sequence[int]) -> None:
    """Add requests that `unroll` took out."""
    await _sum_up(tx, calendar, ids, 1)
    await tx.execute(_ROLL_SITTINGS, {"ids": json.dumps(ids)})


async def unroll(tx: aiosqlite.Connection, calendar: Calendar, ids: Sequence[int]) -> None:
    """Take the requests `ids` out of the sums, before they are changed.

    Only their attempts stay: what failed has failed.
    """
    await _sum_up(tx, calendar, ids, -1)
    for statement in _TAKEN_OUT:
        await tx.execute(statement, {"ids": json.dumps(ids)})
    await count_again(tx, await _places(tx, ids))


async def _sum_up(
    tx: aiosqlite.Connection, calendar: Calendar, ids: Sequence[int], sign: int
) -> None:
    parameters = {"ids": json.dumps(ids), "sign": sign}
    await tx.execute("delete from delta")
    await tx.execute(_DELTA, parameters)
    new = await tx.execute_fetchall(_NEW_BUCKETS)
    await calendar.add_days(tx, [row["bucket"] for row in new])
    for statement in (_ROLL_QUARTERS, _ROLL_WHO, _ROLL_DAYS, _ROLL_MONTHS):
        await tx.execute(statement)
    await tx.execute(_ROLL_PRESENCE, parameters)
    if sign > 0:
        await add_crowds(tx, await tx.execute_fetchall(_PRESENT, parameters))
    await roll_spreads(tx, parameters)


async def _places(tx: aiosqlite.Connection, ids: Sequence[int]) -> set[Place]:
    """Return the days and askers of some requests."""
    rows = await tx.execute_fetchall(_PRESENT, {"ids": json.dumps(ids)})
    return {(row[0], row[1]) for row in rows}
