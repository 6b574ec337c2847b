"""The dashboard, latency and what most reports have in common as the contract's messages."""

from __future__ import annotations

from lair.metrics.v1 import report_service_pb2 as pb
from lair.metrics.v1 import usage_pb2
from metrics_svc.exporting.export import Form
from metrics_svc.reports.cost import Cost
from metrics_svc.reports.dashboard import Dashboard
from metrics_svc.reports.latency import Latency, LatencyShare, Percentiles
from metrics_svc.reports.shares import Share, TokenTotals
from metrics_svc.reports.streaks import Run, length
from metrics_svc.reports.totals import Totals
from metrics_svc.reports.use import DayActivity
from metrics_svc.zones import iso_date
from svckit.errors import invalid_field
from svckit.times import to_timestamp

_FORMS = {
    pb.EXPORT_FORMAT_UNSPECIFIED: Form.CSV,
    pb.EXPORT_FORMAT_CSV: Form.CSV,
    pb.EXPORT_FORMAT_JSONL: Form.JSONL,
    pb.EXPORT_FORMAT_ZIP: Form.ZIP,
}


def to_form(value: pb.ExportFormat.ValueType) -> Form:
    """Read how an export is to be written."""
    if value not in _FORMS:
        raise invalid_field("format", f"format is {value}, which is none of the contract's")
    return _FORMS[value]


def to_dashboard(board: Dashboard) -> pb.GetDashboardResponse:
    """Write the dashboard."""
    return pb.GetDashboardResponse(
        time_zone=board.zone,
        started_date="" if board.started is None else iso_date(board.started),
        active_day_count=len(board.days),
        most_active_day=to_day(board.most_active) if board.most_active else None,
        days=[to_day(day) for day in board.days],
        models=[to_share(share) for share in board.models],
        backends=[to_share(share) for share in board.backends],
        locations=[to_share(share) for share in board.locations],
        session_count=board.sessions,
        message_count=board.messages,
        tokens=to_token_totals(board.tokens),
        project_count=board.projects,
        longest_streak_days=length(board.streaks.longest),
        current_streak_days=length(board.streaks.current),
        request_count=board.requests,
        statuses=[
            pb.StatusCount(status=usage_pb2.Status.ValueType(status), request_count=count)
            for status, count in board.statuses
        ],
        conversation_count=board.conversations,
        cost=to_cost(board.cost),
        success_ratio=board.success,
        before=to_totals(board.before) if board.before else None,
    )


def to_latency(latency: Latency) -> pb.GetLatencyResponse:
    """Write how fast answers were."""
    return pb.GetLatencyResponse(
        total=_latency_share(latency.total),
        models=[_latency_share(share) for share in latency.models],
        backends=[_latency_share(share) for share in latency.backends],
    )


def to_day(day: DayActivity) -> pb.DayActivity:
    """Write what happened on one day."""
    return pb.DayActivity(
        date=iso_date(day.day),
        request_count=day.requests,
        token_count=day.tokens,
        cost=to_cost(day.cost),
    )


def to_share(share: Share) -> pb.UsageShare:
    """Write one item's part."""
    return pb.UsageShare(
        name=share.name,
        request_count=share.requests,
        token_count=share.tokens,
        request_ratio=share.ratio,
        cost=to_cost(share.cost),
    )


def to_token_totals(tokens: TokenTotals) -> pb.TokenTotals:
    """Write tokens, each part told apart."""
    return pb.TokenTotals(
        total_count=tokens.total,
        prompt_count=tokens.prompt,
        completion_count=tokens.completion,
        cached_count=tokens.cached,
        reasoning_count=tokens.reasoning,
        known_ratio=tokens.known_ratio,
    )


def to_totals(totals: Totals) -> pb.PeriodTotals:
    """Write what was used in a time to compare with."""
    return pb.PeriodTotals(
        start_time=to_timestamp(totals.start_us),
        end_time=to_timestamp(totals.end_us),
        request_count=totals.requests,
        token_count=totals.tokens,
        message_count=totals.messages,
        session_count=totals.sessions,
        active_day_count=totals.active_days,
        success_ratio=totals.success,
        cost=to_cost(totals.cost),
    )


def to_cost(cost: Cost) -> pb.Cost:
    """Write a cost, unknown ones told apart from 0."""
    return pb.Cost(nano_usd=cost.nano, unpriced_count=cost.unpriced)


def to_streak(run: Run | None) -> pb.Streak | None:
    """Write a run of days; None for none."""
    if run is None:
        return None
    return pb.Streak(
        day_count=run.days, first_date=iso_date(run.first), last_date=iso_date(run.last)
    )


def _latency_share(share: LatencyShare) -> pb.LatencyShare:
    return pb.LatencyShare(
        name=share.name,
        request_count=share.requests,
        duration_ms=_percentiles(share.duration_ms),
        first_token_ms=_percentiles(share.first_token_ms),
        queue_ms=_percentiles(share.queue_ms),
        tokens_per_second=_percentiles(share.tokens_per_second),
    )


def _percentiles(values: Percentiles) -> pb.Percentiles:
    return pb.Percentiles(p50=values.p50, p90=values.p90, p95=values.p95, p99=values.p99)
