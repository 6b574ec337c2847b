"""A time in few words, and the time before it, to compare with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from metrics_svc.model import Scope
from metrics_svc.reports import shares
from metrics_svc.reports.cost import Cost
from metrics_svc.reports.use import Use
from metrics_svc.zones import bounds_us, day_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What was used from `start_us` to before `end_us`."""

    start_us: int
    end_us: int
    requests: int
    tokens: int
    messages: int
    sessions: int
    active_days: int
    success: float | None
    cost: Cost


def totals(use: Use, start_us: int, end_us: int) -> Totals:
    """Sum up `use`, which is of this time."""
    return Totals(
        start_us=start_us,
        end_us=end_us,
        requests=sum(group.all_requests for group in use.groups),
        tokens=sum(group.tokens for group in use.groups),
        messages=sum(group.messages for group in use.groups),
        sessions=use.distinct.all_sessions,
        active_days=len(use.days),
        success=shares.success_ratio(shares.by_status(use.groups)),
        cost=shares.total_cost(group.cost for group in use.groups),
    )


def period_before(scope: Scope, zone: ZoneInfo, now_us: int) -> Scope | None:
    """Return the same length of time before `scope`, moved by whole local days.

    From Monday to Wednesday noon it is from Friday to Sunday noon. None where the scope
    has no beginning, or begins later than now.
    """
    start_us = scope.start_us
    end_us = now_us if scope.end_us is None else min(scope.end_us, now_us)
    if start_us is None or start_us >= end_us:
        return None
    days = day_of(zone, end_us - 1) - day_of(zone, start_us) + 1
    return replace(
        scope, start_us=_earlier(zone, start_us, days), end_us=_earlier(zone, end_us, days)
    )


def _earlier(zone: ZoneInfo, ts_us: int, days: int) -> int:
    """Return as late a moment of an earlier local day; of a shorter one at most its end."""
    day = day_of(zone, ts_us)
    begin, end = bounds_us(zone, day - days)
    return min(begin + ts_us - bounds_us(zone, day)[0], end)
