"""Use by the day, as the JSON of `/metrics/daily` and `/metrics/activity`: idle days too."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date, timedelta
from statistics import quantiles
from typing import Annotated

from msgspec import Meta, Struct

from gateway.dialects.rest_types import Count, Day
from lair.metrics.v1.report_service_pb2 import DayActivity, GetDashboardResponse

# What a chart shows unless it is told otherwise: today, and the year before.
CHART_DAYS = 365
# About ten years: a report is for people, not for a request of thousands of years.
MAX_DAYS = 3660
_LEVELS = 4


class DailyUse(Struct, frozen=True):
    """What happened on one day, idle ones included."""

    date: Day
    requests: Annotated[int, Meta(ge=0, description="Requests of clients.")]
    tokens: Annotated[int, Meta(ge=0, description="Tokens that are known.")]
    active: Annotated[bool, Meta(description="Whether there was a request at all.")]


class Daily(Struct, frozen=True):
    """Each day, oldest first."""

    time_zone: str
    days: list[DailyUse]


class ChartDay(Struct, frozen=True):
    """One square of the chart."""

    date: Day
    weekday: Annotated[int, Meta(ge=0, le=6, description="0 is Monday, 6 is Sunday.")]
    requests: Count
    tokens: Count
    level: Annotated[
        int,
        Meta(ge=0, le=_LEVELS, description="0 is idle; 1 to 4 the quarter of the active days."),
    ]


class Activity(Struct, frozen=True):
    """A chart of days as GitHub draws it, oldest first, and the runs of active ones."""

    time_zone: str
    days: list[ChartDay]
    active_days: Count
    requests: Count
    longest_streak_days: Count
    current_streak_days: Annotated[
        int, Meta(ge=0, description="The run that is alive today or was yesterday.")
    ]


def daily_json(
    dashboard: GetDashboardResponse, *, start: date | None, end: date | None, today: date
) -> Daily:
    """Write each day from `start`, by default the first active one, to `end` or today."""
    active = _by_day(dashboard)
    first = start or min(active, default=today + timedelta(days=1))
    return Daily(
        time_zone=dashboard.time_zone,
        days=[
            DailyUse(day.isoformat(), used.request_count, used.token_count, day in active)
            for day, used in _filled(active, first, min(end or today, today))
        ],
    )


def activity_json(
    dashboard: GetDashboardResponse, *, start: date | None, end: date | None, today: date
) -> Activity:
    """Write the chart of the days from `start`, by default a year before its end."""
    active = _by_day(dashboard)
    last = min(end or today, today)
    shown = list(_filled(active, start or last - timedelta(days=CHART_DAYS - 1), last))
    bounds = _bounds([used.request_count for _, used in shown if used.request_count])
    return Activity(
        time_zone=dashboard.time_zone,
        days=[
            ChartDay(
                date=day.isoformat(),
                weekday=day.weekday(),
                requests=used.request_count,
                tokens=used.token_count,
                level=1 + bisect_left(bounds, used.request_count) if used.request_count else 0,
            )
            for day, used in shown
        ],
        active_days=sum(day in active for day, _ in shown),
        requests=sum(used.request_count for _, used in shown),
        longest_streak_days=dashboard.longest_streak_days,
        current_streak_days=dashboard.current_streak_days,
    )


def _by_day(dashboard: GetDashboardResponse) -> dict[date, DayActivity]:
    return {date.fromisoformat(day.date): day for day in dashboard.days}


def _filled(
    active: dict[date, DayActivity], first: date, last: date
) -> Iterator[tuple[date, DayActivity]]:
    """Yield every day with its use; of a longer time the last `MAX_DAYS`."""
    idle = DayActivity()
    count = min((last - first).days + 1, MAX_DAYS)
    for back in range(count - 1, -1, -1):
        day = last - timedelta(days=back)
        yield day, active.get(day, idle)


def _bounds(counts: list[int]) -> list[float]:
    """Return what parts the active days into quarters by their requests."""
    if len(counts) < _LEVELS:  # too few for quarters: the busiest is the darkest
        return sorted({float(count) for count in counts})[:-1]
    return quantiles(counts, n=_LEVELS, method="inclusive")
