"""Distributions out of the ledger: of UTC days, of hours beside them, and of requests."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from metrics_svc.histograms import Distribution, Spread, codes_of, distributions, packed
from metrics_svc.model import BUCKET_US
from metrics_svc.query import LANE, Question, SpreadRow
from metrics_svc.storage.conditions import alike
from metrics_svc.storage.ranges import Quarters, Span, quarters
from metrics_svc.storage.spreads import (
    BUCKETS_A_DAY,
    BUCKETS_AN_HOUR,
    MEASURED,
    VALUES,
)
from metrics_svc.storage.sums import Key, Source, named_rows

_HOURS_A_DAY = BUCKETS_A_DAY // BUCKETS_AN_HOUR
_NEVER = 2**31
_HOUR_US = BUCKETS_AN_HOUR * BUCKET_US

_DAYS = """
select {columns}, counts from spread_day as used cross join lane on lane.id = used.lane
where day >= :first and day < :after and {owner}
"""
_HOURS = """
select {columns}, counts from spread_hour as used cross join lane on lane.id = used.lane
where hour >= :first and hour < :after and {owner}
"""
_REQUESTS = """
select {columns}, {values}
from request cross join combo on combo.id = request.combo
cross join lane on lane.id = combo.lane
where second >= :first / 1000000 and second <= :after / 1000000
  and ts_us >= :first and ts_us < :after and {measured} and {owner}
"""

Blobs = defaultdict[Key, list[bytes]]


async def read_spreads(source: Source, question: Question) -> tuple[SpreadRow, ...]:
    """Return distributions. Raises `ValueError` for a dimension beyond `LANE`, or a grain."""
    if question.grain:
        raise ValueError("distributions are told apart by dimensions only, not by time")
    owner, parameters = alike(question, "lane", LANE)
    columns = ", ".join(("null", *(f"lane.{name}" for name in question.dimensions)))
    blobs: Blobs = defaultdict(list)
    days, hours, ends = _levels(quarters(question.scope, source.sealed), source.sealed)
    for template, spans in ((_DAYS, days), (_HOURS, hours)):
        sql = template.format(columns=columns, owner=owner)
        for first, after in spans:
            bounds = {"first": first, "after": after}
            for row in await source.rows(sql, {**parameters, **bounds}):
                blobs[row[:-1]].append(row[-1])
    width = 1 + len(question.dimensions)
    sql = _REQUESTS.format(columns=columns, owner=owner, values=VALUES, measured=MEASURED)
    for first, after in ends:
        bounds = {"first": first, "after": after}
        rows = await source.rows(sql, {**parameters, **bounds})
        codes, places = codes_of([row[width:] for row in rows])
        for place in sorted(set(places.tolist())):
            blobs[rows[place][:width]].append(packed(codes[places == place]))
    # Adding up a year of them would hold up everybody else.
    spreads = await asyncio.to_thread(_added_up, blobs)
    named = await named_rows(source, question, {key: [at] for at, key in enumerate(blobs)})
    return tuple(SpreadRow(row.keys, spreads[row.sums[0]]) for row in named)


def _added_up(blobs: Blobs) -> Sequence[Mapping[Spread, Distribution]]:
    return [distributions(parts) for parts in blobs.values()]


def _levels(parts: Quarters, sealed: int) -> tuple[Sequence[Span], Sequence[Span], Sequence[Span]]:
    """Split a range into UTC days, hours beside them, and microseconds at its ends.

    Hours that have lost requests count whole, to where they begin.
    """
    start_us = 0 if parts.first is None else parts.first * BUCKET_US
    stop_us = _NEVER * _HOUR_US if parts.after is None else parts.after * BUCKET_US
    for begin, end in parts.ends:
        start_us, stop_us = min(start_us, begin), max(stop_us, end)
    first, after = -(-start_us // _HOUR_US), stop_us // _HOUR_US
    ends = []
    if start_us < first * _HOUR_US and (first - 1) * BUCKETS_AN_HOUR >= sealed:
        ends.append((start_us, min(first * _HOUR_US, stop_us)))
    if after * BUCKETS_AN_HOUR < sealed:
        after = -(-stop_us // _HOUR_US)
    elif first <= after:
        ends.append((after * _HOUR_US, stop_us))
    first_day, after_day = -(-first // _HOURS_A_DAY), after // _HOURS_A_DAY
    if first_day >= after_day:
        return (), ((first, after),), ends
    beside = ((first, first_day * _HOURS_A_DAY), (after_day * _HOURS_A_DAY, after))
    return ((first_day, after_day),), beside, ends
