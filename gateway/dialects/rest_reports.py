"""What was used, as the JSON of `/metrics/*`: plain numbers, null for what is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from gateway.dialects.rest_costs import CostUsd, Unpriced, cost_usd
from gateway.dialects.rest_types import Count, Day, Ratio, Time, rfc3339, word, words
from lair.metrics.v1 import report_service_pb2 as reports_pb2
from lair.metrics.v1.usage_pb2 import Status

STATUS = "STATUS_"
StatusWord = Annotated[
    str, Meta(description="How it ended.", extra_json_schema=words(Status, STATUS))
]


SuccessRate = Annotated[
    Ratio | None,
    Meta(
        description="Answered requests of those that neither the client gave up nor were its own "
        "mistake; null if there are none."
    ),
]


class DayUse(Struct, frozen=True):
    """What happened on one day."""

    date: Day
    requests: Annotated[int, Meta(ge=0, description="Requests of clients.")]
    tokens: Annotated[int, Meta(ge=0, description="Tokens that are known.")]
    cost_usd: CostUsd
    unpriced: Unpriced


class Share(Struct, frozen=True):
    """One item's share of the use; `ratio` is its part of all requests."""

    name: str
    requests: Count
    tokens: Count
    ratio: Ratio
    cost_usd: CostUsd
    unpriced: Unpriced


class Tokens(Struct, frozen=True):
    """Tokens that are known, each part told apart."""

    total: Count
    prompt: Annotated[int, Meta(ge=0, description="The cached part included.")]
    completion: Annotated[int, Meta(ge=0, description="Reasoning included.")]
    cached: Count
    reasoning: Count
    known_ratio: Ratio


class Before(Struct, frozen=True):
    """The same length of time before, to compare with."""

    start: Annotated[Time | None, Meta(description="When it began.")]
    end: Annotated[Time | None, Meta(description="Before when it ended.")]
    requests: Count
    tokens: Count
    messages: Count
    sessions: Count
    active_days: Count
    success_rate: SuccessRate
    cost_usd: CostUsd
    unpriced: Unpriced


class Dashboard(Struct, frozen=True):
    """The summary a dashboard shows first.

    Days are local days of `time_zone`. Activity (days, streaks, sessions, messages)
    counts requests of clients; tokens count all.
    """

    time_zone: str
    started_date: Day | None
    active_days: Count
    most_active_day: DayUse | None
    days: Annotated[list[DayUse], Meta(description="Every active day, oldest first.")]
    models: list[Share]
    backends: list[Share]
    locations: Annotated[list[Share], Meta(description="`local` and `remote`.")]
    sessions: Count
    conversations: Count
    messages: Annotated[int, Meta(ge=0, description="Messages new to lair.")]
    tokens: Tokens
    projects: Count
    longest_streak_days: Count
    current_streak_days: Count
    requests: Annotated[int, Meta(ge=0, description="Requests of every origin and status.")]
    statuses: dict[StatusWord, Count]
    success_rate: SuccessRate
    cost_usd: CostUsd
    unpriced: Unpriced
    before: Annotated[
        Before | None, Meta(description="null without `from`: then nothing was before.")
    ]


class ModelUse(Struct, frozen=True):
    """Models that answered, by requests. What reached no model is `unrouted`."""

    requests: Annotated[int, Meta(ge=0, description="Requests of clients.")]
    models: list[Share]


class ProviderUse(Struct, frozen=True):
    """Backends that answered, by requests, and where they are: `local` or `remote`."""

    requests: Annotated[int, Meta(ge=0, description="Requests that reached a backend.")]
    backends: list[Share]
    locations: list[Share]


class Percentiles(Struct, frozen=True):
    """A distribution: half are below `p50`, nine of ten below `p90`, and so on."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class LatencyShare(Struct, frozen=True):
    """How fast one item was; `name` is empty for all together."""

    name: str
    requests: Annotated[int, Meta(ge=0, description="Requests with a known duration.")]
    duration_ms: Percentiles
    first_token_ms: Percentiles
    queue_ms: Percentiles
    tokens_per_second: Percentiles


class Latency(Struct, frozen=True):
    """How fast answers were: those that ended well and were not lair's own."""

    total: LatencyShare
    models: list[LatencyShare]
    backends: list[LatencyShare]


def dashboard_json(dashboard: reports_pb2.GetDashboardResponse) -> Dashboard:
    """Write the summary a dashboard shows first."""
    busiest = dashboard.most_active_day if dashboard.HasField("most_active_day") else None
    return Dashboard(
        time_zone=dashboard.time_zone,
        started_date=dashboard.started_date or None,
        active_days=dashboard.active_day_count,
        most_active_day=day_json(busiest) if busiest is not None else None,
        days=[day_json(day) for day in dashboard.days],
        models=shares_json(dashboard.models),
        backends=shares_json(dashboard.backends),
        locations=shares_json(dashboard.locations),
        sessions=dashboard.session_count,
        conversations=dashboard.conversation_count,
        messages=dashboard.message_count,
        tokens=tokens_json(dashboard.tokens),
        projects=dashboard.project_count,
        longest_streak_days=dashboard.longest_streak_days,
        current_streak_days=dashboard.current_streak_days,
        requests=dashboard.request_count,
        statuses={
            word(Status.Name(count.status), STATUS): count.request_count
            for count in dashboard.statuses
        },
        success_rate=success_of(dashboard),
        cost_usd=cost_usd(dashboard.cost),
        unpriced=dashboard.cost.unpriced_count,
        before=before_json(dashboard.before) if dashboard.HasField("before") else None,
    )


def model_use_json(dashboard: reports_pb2.GetDashboardResponse) -> ModelUse:
    """Write which models answered."""
    return ModelUse(
        requests=sum(share.request_count for share in dashboard.models),
        models=shares_json(dashboard.models),
    )


def provider_use_json(dashboard: reports_pb2.GetDashboardResponse) -> ProviderUse:
    """Write which backends answered."""
    return ProviderUse(
        requests=sum(share.request_count for share in dashboard.backends),
        backends=shares_json(dashboard.backends),
        locations=shares_json(dashboard.locations),
    )


def latency_json(latency: reports_pb2.GetLatencyResponse) -> Latency:
    """Write how fast answers were."""
    return Latency(
        total=_latency_share_json(latency.total),
        models=[_latency_share_json(share) for share in latency.models],
        backends=[_latency_share_json(share) for share in latency.backends],
    )


def day_json(day: reports_pb2.DayActivity) -> DayUse:
    """Write what happened on one day."""
    return DayUse(
        date=day.date,
        requests=day.request_count,
        tokens=day.token_count,
        cost_usd=cost_usd(day.cost),
        unpriced=day.cost.unpriced_count,
    )


def shares_json(shares: Iterable[reports_pb2.UsageShare]) -> list[Share]:
    """Write who did how much."""
    return [
        Share(
            name=share.name,
            requests=share.request_count,
            tokens=share.token_count,
            ratio=share.request_ratio,
            cost_usd=cost_usd(share.cost),
            unpriced=share.cost.unpriced_count,
        )
        for share in shares
    ]


def before_json(totals: reports_pb2.PeriodTotals) -> Before:
    """Write what was used in a time to compare with."""
    return Before(
        start=rfc3339(totals.start_time),
        end=rfc3339(totals.end_time),
        requests=totals.request_count,
        tokens=totals.token_count,
        messages=totals.message_count,
        sessions=totals.session_count,
        active_days=totals.active_day_count,
        success_rate=success_of(totals),
        cost_usd=cost_usd(totals.cost),
        unpriced=totals.cost.unpriced_count,
    )


def success_of(
    report: reports_pb2.GetDashboardResponse
    | reports_pb2.GetWrappedResponse
    | reports_pb2.PeriodTotals,
) -> float | None:
    """Return the success rate of a report; None where nothing could succeed."""
    return report.success_ratio if report.HasField("success_ratio") else None


def tokens_json(tokens: reports_pb2.TokenTotals) -> Tokens:
    """Write tokens, each part told apart."""
    return Tokens(
        total=tokens.total_count,
        prompt=tokens.prompt_count,
        completion=tokens.completion_count,
        cached=tokens.cached_count,
        reasoning=tokens.reasoning_count,
        known_ratio=tokens.known_ratio,
    )


def _latency_share_json(share: reports_pb2.LatencyShare) -> LatencyShare:
    return LatencyShare(
        name=share.name,
        requests=share.request_count,
        duration_ms=_percentiles_json(share.duration_ms),
        first_token_ms=_percentiles_json(share.first_token_ms),
        queue_ms=_percentiles_json(share.queue_ms),
        tokens_per_second=_percentiles_json(share.tokens_per_second),
    )


def _percentiles_json(percentiles: reports_pb2.Percentiles) -> Percentiles:
    has = percentiles.HasField
    return Percentiles(
        p50=percentiles.p50 if has("p50") else None,
        p90=percentiles.p90 if has("p90") else None,
        p95=percentiles.p95 if has("p95") else None,
        p99=percentiles.p99 if has("p99") else None,
    )
