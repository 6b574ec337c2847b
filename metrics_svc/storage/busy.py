"""How long backends in the house worked: while at least one request was in flight.

Requests side by side share a device, so their durations are never added up. When a backend
worked is kept, and not only how long, for requests come in any order.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

import aiosqlite
import numpy as np

from metrics_svc.model import BUCKET_US, Scope
from metrics_svc.query import BusyRow
from metrics_svc.storage.conditions import of_time
from metrics_svc.storage.dims import values_of
from metrics_svc.storage.ranges import Quarters, Span, quarters
from metrics_svc.storage.sums import Source

# A quarter of an hour has 60,000 of them, so that two bytes tell any.
STEP_US = 15_000
_STEPS = BUCKET_US // STEP_US
# What is said to have worked for longer did not.
_LONGEST_US = 24 * 60 * 60 * 1_000_000

# A bucket, a backend and its watts.
Place = tuple[int, int, float]
Spans = Iterable[Span]

_FLIGHTS = """
select combo.backend, ifnull(device_watts, 0), ts_us + ifnull(queue_us, 0), upstream_us
from json_each(:ids) as it cross join request on request.id = it.value
cross join combo on combo.id = request.combo
where combo.local and combo.backend and upstream_us > 0
"""
_KEPT = """
select bucket, busy15.backend, watts, spans from json_each(?) as it cross join busy15
on bucket = it.value ->> 0 and busy15.backend = it.value ->> 1 and watts = it.value ->> 2
"""
_REPLACE = "insert or replace into busy15 values (?, ?, ?, ?, ?)"
_WHOLE = "select backend, watts, sum(busy_us) from busy15 where {time} group by 1, 2"
_AT_END = "select backend, watts, spans from busy15 where bucket = ?"


async def roll_busy(tx: aiosqlite.Connection, ids: Sequence[int]) -> None:
    """Add when the requests `ids` were in flight. A second time changes nothing."""
    flights = await tx.execute_fetchall(_FLIGHTS, {"ids": json.dumps(ids)})
    places: defaultdict[Place, list[Span]] = defaultdict(list)
    for backend, watts, start_us, took_us in flights:
        for bucket, span in _split(start_us, start_us + min(took_us, _LONGEST_US)):
            places[bucket, backend, watts].append(span)
    if not places:
        return
    for *place, blob in await tx.execute_fetchall(_KEPT, (json.dumps(list(places)),)):
        bucket, backend, watts = place
        places[bucket, backend, watts] += _read(blob)
    rows = []
    for place_of, spans in places.items():
        merged = _merged(spans)
        blob = np.array(merged, "<u2").tobytes()
        rows.append((*place_of, _length(merged) * STEP_US, blob))
    await tx.executemany(_REPLACE, rows)


async def read_busy(source: Source, scope: Scope) -> tuple[BusyRow, ...]:
    """Return how long each backend worked within the scope's time, whoever asked it."""
    parts = quarters(scope, 0)
    where, bounds = of_time("bucket", Quarters(parts.first, parts.after))
    totals: defaultdict[tuple[int, float], int] = defaultdict(int)
    for backend, watts, busy_us in await source.rows(_WHOLE.format(time=where), bounds):
        totals[backend, watts] += busy_us
    for start_us, end_us in parts.ends:
        bucket = start_us // BUCKET_US
        found = await source.connection.execute_fetchall(_AT_END, (bucket,))
        first, after = _steps(start_us - bucket * BUCKET_US), _steps(end_us - bucket * BUCKET_US)
        for backend, watts, blob in found:
            clipped = ((max(it[0], first), min(it[1], after)) for it in _read(blob))
            totals[backend, watts] += _length(it for it in clipped if it[0] < it[1]) * STEP_US
    names = await values_of(source.connection, [backend for backend, _ in totals])
    rows = (
        BusyRow(backend=names[backend], watts=watts or None, busy_us=busy_us)
        for (backend, watts), busy_us in totals.items()
        if busy_us
    )
    return tuple(sorted(rows, key=lambda row: (row.backend, row.watts or 0.0)))


def _split(start_us: int, end_us: int) -> Iterable[tuple[int, Span]]:
    """Yield the buckets of a time, and which steps of each it has."""
    first, after = _steps(start_us), _steps(end_us)
    while first < after:
        bucket = first // _STEPS
        begin = bucket * _STEPS
        end = min(after, begin + _STEPS)
        yield bucket, (first - begin, end - begin)
        first = end


def _steps(us: int) -> int:
    """Return the nearest step: what is rounded up of some times is rounded down of others."""
    return (us + STEP_US // 2) // STEP_US


def _merged(spans: Spans) -> list[Span]:
    merged: list[Span] = []
    for first, after in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], after)
        else:
            merged.append((first, after))
    return merged


def _length(spans: Spans) -> int:
    return sum(after - first for first, after in spans)


def _read(blob: bytes) -> list[Span]:
    numbers = np.frombuffer(blob, "<u2").tolist()
    return list(zip(numbers[::2], numbers[1::2], strict=True))
