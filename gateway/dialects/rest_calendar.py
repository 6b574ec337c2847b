"""Use by the day, as the JSON of `/metrics/daily`: idle days too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from gateway.dialects.rest_costs import CostUsd, Unpriced, cost_usd
from gateway.dialects.rest_types import Day
from lair.metrics.v1.report_service_pb2 import DayActivity, GetDashboardResponse

# About ten years: a report is for people, not for a request of thousands of years.
MAX_DAYS = 3660


class DailyUse(Struct, frozen=True):
    """What happened on one day, idle ones included."""

    date: Day
    requests: Annotated[int, Meta(ge=0, description="Requests of clients.")]
    tokens: Annotated[int, Meta(ge=0, description="Tokens that are known.")]
    active: Annotated[bool, Meta(description="Whether there was a request at all.")]
    cost_usd: CostUsd
    unpriced: Unpriced


class Daily(Struct, frozen=True):
    """Each day, oldest first."""

    time_zone: str
    days: list[DailyUse]


def daily_json(
    dashboard: GetDashboardResponse, *, start: date | None, end: date | None, today: date
) -> Daily:
    """Write each day from `start`, by default the first active one, to `end` or today."""
    active = _by_day(dashboard)
    first = start or min(active, default=today + timedelta(days=1))
    return Daily(
        time_zone=dashboard.time_zone,
        days=[
            DailyUse(
                date=day.isoformat(),
                requests=used.request_count,
                tokens=used.token_count,
                active=day in active,
                cost_usd=cost_usd(used.cost) if day in active else 0.0,
                unpriced=used.cost.unpriced_count,
            )
            for day, used in _filled(active, first, min(end or today, today))
        ],
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
