"""Days of another zone, out of the sums of the days that are kept.

A day begins elsewhere some hours earlier or later. So what is kept of the nearest days is
taken, and what lies between both beginnings is moved from one day to the other: of 96
quarters of an hour a day at most half, and mostly few, instead of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metrics_svc.periods import Period
from metrics_svc.storage.calendar import Calendar


@dataclass(frozen=True, slots=True)
class Move:
    """Buckets that belong to the period `to` and not to `out_of`, as kept days have them.

    None where that period is not asked for.
    """

    first: int
    after: int
    to: int | None
    out_of: int | None


@dataclass(frozen=True, slots=True)
class Shifted:
    """Kept days, each span with what stands for its period, and what is to be moved."""

    days: tuple[tuple[int, int, int], ...]
    moves: tuple[Move, ...]


def shifted(found: Iterable[Period], calendar: Calendar) -> Shifted:
    """Return what adds up to adjacent periods of whole days of another zone."""
    runs = _runs(found)
    if not runs:
        return Shifted((), ())
    edges = [run.first for run in runs] + [runs[-1].after]
    nearest = [_nearest(edge, calendar) for edge in edges]
    days = tuple((nearest[n][0], nearest[n + 1][0], run.key) for n, run in enumerate(runs))
    keys = [None, *(run.key for run in runs), None]
    moves = []
    for n, (edge, (_, kept)) in enumerate(zip(edges, nearest, strict=True)):
        left, right = keys[n], keys[n + 1]
        if kept < edge:
            moves.append(Move(kept, edge, to=left, out_of=right))
        elif kept > edge:
            moves.append(Move(edge, kept, to=right, out_of=left))
    return Shifted(days, tuple(moves))


def _runs(found: Iterable[Period]) -> Sequence[Period]:
    """Join neighbours that the same stands for, as for the days of a week."""
    runs: list[Period] = []
    for period in found:
        if runs and runs[-1].key == period.key:
            runs[-1] = Period(runs[-1].first, period.after, period.key)
        else:
            runs.append(period)
    return runs


def _nearest(bucket: int, calendar: Calendar) -> tuple[int, int]:
    """Return the kept day that begins nearest to a bucket, and its first bucket."""
    day = calendar.day_of(bucket)
    first, after = calendar.bounds(day)
    return (day, first) if bucket - first <= after - bucket else (day + 1, after)
