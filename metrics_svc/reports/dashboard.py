"""The dashboard: what was used, when, and by what.

Activity (days, streaks, sessions, messages, shares) counts clients' requests that
were neither malformed nor refused for their key; tokens count all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from metrics_svc.model import BUCKET_US, BucketUse, Status, Use
from metrics_svc.reports import shares
from metrics_svc.reports.streaks import Streaks, streaks
from metrics_svc.zones import Days, day_of


@dataclass(frozen=True, slots=True)
class DayActivity:
    """What happened on one local day."""

    day: int
    requests: int
    tokens: int


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
    tokens: shares.TokenTotals
    requests: int
    messages: int
    sessions: int
    conversations: int
    projects: int


def dashboard(use: Use, zone: ZoneInfo, now_us: int) -> Dashboard:
    """Sum up `use` by the local days of `zone`."""
    days = active_days(use.buckets, zone)
    distinct = use.distinct
    return Dashboard(
        zone=zone.key,
        started=None if use.first_active_us is None else day_of(zone, use.first_active_us),
        days=days,
        most_active=max(days, key=lambda day: (day.requests, day.day), default=None),
        streaks=streaks((day.day for day in days), day_of(zone, now_us)),
        models=shares.by_model(use.groups),
        backends=shares.by_backend(use.groups),
        locations=shares.by_location(use.groups),
        statuses=shares.by_status(use.groups),
        tokens=shares.token_totals(use.groups),
        requests=sum(group.all_requests for group in use.groups),
        messages=sum(group.messages for group in use.groups),
        sessions=distinct.sessions + distinct.loose_conversations + distinct.inferred_sessions,
        conversations=distinct.conversations,
        projects=distinct.projects,
    )


def active_days(buckets: Sequence[BucketUse], zone: ZoneInfo) -> tuple[DayActivity, ...]:
    """Add up buckets, oldest first, to the local days that have requests."""
    if not buckets:
        return ()
    days = Days(zone, buckets[0].bucket * BUCKET_US, buckets[-1].bucket * BUCKET_US)
    requests: defaultdict[int, int] = defaultdict(int)
    tokens: defaultdict[int, int] = defaultdict(int)
    for bucket in buckets:
        day = days.day_of(bucket.bucket * BUCKET_US)
        requests[day] += bucket.requests
        tokens[day] += bucket.tokens
    return tuple(DayActivity(day, requests[day], tokens[day]) for day in requests if requests[day])
