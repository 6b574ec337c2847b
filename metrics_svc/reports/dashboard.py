"""The dashboard: what was used, when, and by what.

Activity (days, streaks, sessions, messages, shares) counts clients' requests that
were neither malformed nor refused for their key; tokens and costs count all.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from metrics_svc.model import Status
from metrics_svc.reports import shares
from metrics_svc.reports.cost import Cost
from metrics_svc.reports.streaks import Streaks, streaks
from metrics_svc.reports.totals import Totals
from metrics_svc.reports.use import DayActivity, Use
from metrics_svc.zones import day_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """The summary a dashboard shows first; `days` are the active ones, oldest first."""

    zone: str
    started: int | None
    days: tuple[DayActivity, ...]
    most_active: DayActivity | None
    streaks: Streaks
    models: tuple[shares.Share, ...]
    backends: tuple[shares.Share, ...]
    locations: tuple[shares.Share, ...]
    statuses: tuple[tuple[Status, int], ...]
    success: float | None
    tokens: shares.TokenTotals
    cost: Cost
    requests: int
    messages: int
    sessions: int
    conversations: int
    projects: int
    before: Totals | None


def dashboard(use: Use, zone: ZoneInfo, now_us: int, before: Totals | None = None) -> Dashboard:
    """Sum up `use`, which is by the local days of `zone`; `before` is to compare with."""
    days = use.days
    statuses = shares.by_status(use.groups)
    return Dashboard(
        zone=zone.key,
        started=days[0].day if days else None,
        days=days,
        most_active=most_active(days),
        streaks=streaks((day.day for day in days), day_of(zone, now_us)),
        models=shares.by_model(use.groups),
        backends=shares.by_backend(use.groups),
        locations=shares.by_location(use.groups),
        statuses=statuses,
        success=shares.success_ratio(statuses),
        tokens=shares.token_totals(use.groups),
        cost=shares.total_cost(group.cost for group in use.groups),
        requests=sum(group.all_requests for group in use.groups),
        messages=sum(group.messages for group in use.groups),
        sessions=use.distinct.all_sessions,
        conversations=use.distinct.conversations,
        projects=use.distinct.projects,
        before=before,
    )


def most_active(days: tuple[DayActivity, ...]) -> DayActivity | None:
    """Return the day with the most requests, the latest of several."""
    return max(days, key=lambda day: (day.requests, day.day), default=None)
