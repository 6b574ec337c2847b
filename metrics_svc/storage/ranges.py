"""A range of time as parts that are summed up differently.

Whole months, days and 15 minutes beside them, and what is left at both ends, which only the
requests themselves tell.
"""

from __future__ import annotations

from dataclasses import dataclass

from metrics_svc.model import BUCKET_US, Scope
from metrics_svc.storage.calendar import Calendar
from metrics_svc.zones import month_of

Span = tuple[int, int]
Spans = tuple[Span, ...]

_NO_END = 2**31


@dataclass(frozen=True, slots=True)
class Quarters:
    """Whole buckets from `first` to before `after`, None without a bound, and raw ends."""

    first: int | None
    after: int | None
    # Microseconds, of parts of one bucket each.
    ends: tuple[Span, ...] = ()


def quarters(scope: Scope, sealed: int) -> Quarters:
    """Split a range at quarters of an hour.

    Buckets before `sealed` have lost requests, so they count whole, to where they begin.
    """
    start, end = scope.start_us, scope.end_us
    if start is not None and end is not None and start >= end:
        return Quarters(0, 0)
    first = None if start is None else -(-start // BUCKET_US)
    after = None if end is None else end // BUCKET_US
    if after is not None and after < sealed:
        after = None if end is None else -(-end // BUCKET_US)
    ends = []
    if start is not None and first is not None and start // BUCKET_US >= sealed:
        stop = first * BUCKET_US if end is None else min(end, first * BUCKET_US)
        ends.append((start, stop))
    if end is not None and after is not None and (first is None or after >= first):
        ends.append((after * BUCKET_US, end))
    return Quarters(first, after, tuple(it for it in ends if it[0] < it[1]))


def whole_days(part: Quarters, calendar: Calendar) -> tuple[Spans, tuple[Quarters, ...]]:
    """Return the days that lie within whole buckets, and the buckets beside them.

    Days are from the first to before the last of the span, far ends without a bound.
    """
    first_day, after_day = 0, _NO_END
    beside: list[Quarters] = []
    if part.first is not None:
        first_day = calendar.day_of(part.first)
        begin, end = calendar.bounds(first_day)
        if begin < part.first:
            first_day += 1
            beside.append(Quarters(part.first, end))
    if part.after is not None:
        after_day = calendar.day_of(part.after)
        begin, _ = calendar.bounds(after_day)
        if begin < part.after:
            beside.append(Quarters(begin, part.after))
    if first_day >= after_day:
        return (), (part,)
    return ((first_day, after_day),), tuple(beside)


def whole_months(days: Spans) -> tuple[Spans, Spans]:
    """Return the months that lie within days, by their first ones, and the days beside them."""
    months: list[Span] = []
    beside: list[Span] = []
    for first, after in days:
        begin = first if first == 0 or month_of(first) == first else month_of(_next_month(first))
        end = after if after == _NO_END else month_of(after)
        if begin >= end:
            beside.append((first, after))
        else:
            months.append((begin, end))
            beside += ((first, begin), (end, after))
    return tuple(months), tuple(it for it in beside if it[0] < it[1])


def _next_month(day: int) -> int:
    """Return some day of the month after that of `day`."""
    return month_of(day) + 31


def clamped(part: Quarters, known: Span) -> Span:
    """Return the buckets of `known` that `part` has, its ends aside."""
    first, after = known
    return (
        first if part.first is None else max(first, part.first),
        after if part.after is None else min(after, part.after),
    )
