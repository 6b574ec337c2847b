"""Distributions in SQLite: one blob for each hour and each UTC day of a lane."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import aiosqlite
import msgspec
import numpy as np

from metrics_svc.histograms import codes_of, packed

BUCKETS_AN_HOUR = 4
BUCKETS_A_DAY = 96

# What ended well (1), was not lair's own (2), is not repeated, and took a known time.
MEASURED = """combo.status = 1 and combo.origin <> 2 and not request.superseded
and request.duration_us is not null"""

# Speed is that of the answer after its first token, in thousandths of a token a second.
VALUES = """request.duration_us, request.first_token_us, request.queue_us,
max(0, request.duration_us - request.upstream_us - ifnull(request.queue_us, 0)),
iif(request.tok_out > 1 and request.duration_us > request.first_token_us,
  (request.tok_out - 1) * 1e9 / (request.duration_us - request.first_token_us), null)"""

# All in one text: a row at a time would give way to every other thread of Python.
_NEW = f"""
select json_group_array(json_array(request.bucket, combo.lane, {VALUES}))
from json_each(:ids) as it
cross join request on request.id = it.value cross join combo on combo.id = request.combo
where {MEASURED}
"""  # noqa: S608  # fixed names

_KEPT = {
    "spread_hour": """select hour, lane, counts from json_each(?) as it cross join spread_hour
on hour = it.value ->> 0 and lane = it.value ->> 1""",
    "spread_day": """select day, lane, counts from json_each(?) as it cross join spread_day
on day = it.value ->> 0 and lane = it.value ->> 1""",
}
_REPLACE = {
    "spread_hour": "insert or replace into spread_hour values (?, ?, ?)",
    "spread_day": "insert or replace into spread_day values (?, ?, ?)",
}
_DELETE = {
    "spread_hour": "delete from spread_hour where hour = ? and lane = ?",
    "spread_day": "delete from spread_day where day = ? and lane = ?",
}
_LENGTHS = {"spread_hour": BUCKETS_AN_HOUR, "spread_day": BUCKETS_A_DAY}

Place = tuple[int, int]


async def roll_spreads(tx: aiosqlite.Connection, parameters: Mapping[str, Any]) -> None:
    """Add some requests to the distributions, `sign` times."""
    ((found,),) = await tx.execute_fetchall(_NEW, parameters)
    rows = msgspec.json.decode(found)
    if not rows:
        return
    codes, places = codes_of([row[2:] for row in rows])
    for table, length in _LENGTHS.items():
        of_row: defaultdict[Place, list[int]] = defaultdict(list)
        for code, at in zip(codes.tolist(), places.tolist(), strict=True):
            of_row[rows[at][0] // length, rows[at][1]].append(code)
        await _change(tx, table, of_row, parameters["sign"])


async def _change(
    tx: aiosqlite.Connection, table: str, changes: Mapping[Place, list[int]], sign: int
) -> None:
    kept = await tx.execute_fetchall(_KEPT[table], (json.dumps(list(changes)),))
    before = {(row[0], row[1]): row[2] for row in kept}
    blobs = {
        place: packed(np.array(codes), sign, before.get(place, b""))
        for place, codes in changes.items()
    }
    await tx.executemany(_REPLACE[table], [(*place, blob) for place, blob in blobs.items() if blob])
    await tx.executemany(_DELETE[table], [place for place, blob in blobs.items() if not blob])
