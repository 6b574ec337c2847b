"""When requests were made: a chart of days, hours of the week, weekdays and streaks.

A day before the first active one of all has no data, which is not the same as idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from metrics_svc.model import Scope
from metrics_svc.query import Grain, Question
from metrics_svc.reports.levels import levels
from metrics_svc.reports.streaks import Streaks, streaks
from metrics_svc.storage.base import Ledger
from metrics_svc.zones import bounds_us, day_of

# What a chart shows unless it is told otherwise: its last day, and the year before.
CHART_DAYS = 365
# About ten years: a chart is for people.
MAX_DAYS = 3660

# Requests that are activity, and tokens.
Use = tuple[int, int]
_SUMS = ("active", "tokens")
_IDLE = (0, 0)


@dataclass(frozen=True, slots=True)
class Chart:
    """The days of a chart, both included, and which requests it is of."""

    first: int
    last: int
    scope: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityUse:
    """All that the report is made of: use by day, and by hour of the week; active days ever."""

    days: Mapping[int, Use]
    hours: Mapping[int, Use]
    ever: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartDay:
    """One day, and how dark it is; `known` is false before the first active day of all."""

    day: int
    requests: int
    tokens: int
    level: int
    token_level: int
    known: bool


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the week; 0 is Monday."""

    weekday: int
    hour: int
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Weekday:
    """All Mondays of which something is known, or the like."""

    days: int
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """When requests were made; `ever` are the streaks of all time."""

    started: int | None
    days: tuple[ChartDay, ...]
    hours: tuple[Hour, ...]
    weekdays: tuple[Weekday, ...]
    best_weekday: int | None
    streaks: Streaks
    ever: Streaks


def chart_of(scope: Scope, zone: ZoneInfo, now_us: int) -> Chart:
    """Return the days that `scope` asks for, and the scope without those that are not shown."""
    last = today = day_of(zone, now_us)
    if scope.end_us is not None:
        last = min(day_of(zone, scope.end_us - 1), today)
    if scope.start_us is None:
        first = last - CHART_DAYS + 1
    else:
        first = max(day_of(zone, scope.start_us), last - MAX_DAYS + 1)
    begin_us = bounds_us(zone, first)[0]
    start_us = begin_us if scope.start_us is None else max(scope.start_us, begin_us)
    return Chart(first, last, replace(scope, start_us=start_us))


async def read_activity(ledger: Ledger, chart: Chart, zone: ZoneInfo) -> ActivityUse:
    """Read the use of a chart's days, and which days were active ever."""
    ever = replace(chart.scope, start_us=None, end_us=None)
    by_day = Question(scope=chart.scope, grain=Grain.DAY, zone=zone)
    by_hour = replace(by_day, grain=Grain.HOUR_OF_WEEK)
    all_days = await ledger.sums(replace(by_day, scope=ever), _SUMS)
    days = all_days if _is_whole(chart, zone) else await ledger.sums(by_day, _SUMS)
    hours = await ledger.sums(by_hour, _SUMS)
    return ActivityUse(
        days={
            row.time: (row.sums[0], row.sums[1])
            for row in days
            if row.time is not None and chart.first <= row.time <= chart.last
        },
        hours={row.time or 0: (row.sums[0], row.sums[1]) for row in hours},
        ever=[row.time or 0 for row in all_days if row.sums[0]],
    )


def _is_whole(chart: Chart, zone: ZoneInfo) -> bool:
    """Tell whether the chart is of whole days, which need not be read apart."""
    begin, end = bounds_us(zone, chart.first)[0], bounds_us(zone, chart.last)[1]
    stop = chart.scope.end_us
    return chart.scope.start_us == begin and (stop is None or stop >= end)


def activity(use: ActivityUse, chart: Chart, zone: ZoneInfo, now_us: int) -> Activity:
    """Tell when requests were made."""
    today = day_of(zone, now_us)
    started = min(use.ever, default=None)
    days = _chart_days(use.days, _existing(chart, zone), started)
    weekdays = tuple(_weekday(days, weekday) for weekday in range(7))
    return Activity(
        started=started,
        days=days,
        hours=tuple(
            Hour(place // 24, place % 24, *used) for place, used in sorted(use.hours.items())
        ),
        weekdays=weekdays,
        best_weekday=_best(weekdays),
        streaks=streaks((day.day for day in days if day.requests), today),
        ever=streaks(use.ever, today),
    )


def _existing(chart: Chart, zone: ZoneInfo) -> list[int]:
    """Return the days of a chart but for dates that the zone skipped."""
    return [
        day
        for day, (begin, end) in (
            (day, bounds_us(zone, day)) for day in range(chart.first, chart.last + 1)
        )
        if begin < end
    ]


def _chart_days(
    used: Mapping[int, Use], days: Sequence[int], started: int | None
) -> tuple[ChartDay, ...]:
    uses = [used.get(day, _IDLE) for day in days]
    by_requests = levels([requests for requests, _ in uses])
    by_tokens = levels([tokens for _, tokens in uses])
    return tuple(
        ChartDay(
            day=day,
            requests=requests,
            tokens=tokens,
            level=level,
            token_level=token_level,
            known=started is not None and day >= started,
        )
        for day, (requests, tokens), level, token_level in zip(
            days, uses, by_requests, by_tokens, strict=True
        )
    )


def _weekday(days: Iterable[ChartDay], weekday: int) -> Weekday:
    these = [day for day in days if (day.day - 1) % 7 == weekday]
    return Weekday(
        days=sum(day.known for day in these),
        requests=sum(day.requests for day in these),
        tokens=sum(day.tokens for day in these),
    )


def _best(weekdays: Sequence[Weekday]) -> int | None:
    """Return the weekday with the most requests a day, the first of several.

    Not the one with the most requests: a range may have five Mondays and four Tuesdays.
    """
    means = [each.requests / each.days if each.days else 0.0 for each in weekdays]
    return means.index(max(means)) if any(means) else None
