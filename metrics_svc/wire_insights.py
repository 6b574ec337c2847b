"""Activity, routing, savings, prices, tables and years as the contract's messages."""

from __future__ import annotations

import math
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from lair.metrics.v1 import report_service_pb2 as pb
from lair.metrics.v1 import usage_pb2
from metrics_svc.query import BusyRow
from metrics_svc.reports.activity import Activity, ChartDay
from metrics_svc.reports.routing import Routing
from metrics_svc.reports.savings import Comparison, Saving, Savings
from metrics_svc.reports.table import Table
from metrics_svc.reports.unpriced import Unpriced
from metrics_svc.reports.wrapped import Wrapped
from metrics_svc.wire_reports import (
    to_cost,
    to_day,
    to_share,
    to_streak,
    to_token_totals,
    to_totals,
)
from metrics_svc.zones import iso_date


def to_activity(activity: Activity, zone: ZoneInfo) -> pb.GetActivityResponse:
    """Write when requests were made."""
    return pb.GetActivityResponse(
        time_zone=zone.key,
        started_date="" if activity.started is None else iso_date(activity.started),
        days=[_chart_day(day) for day in activity.days],
        hours=[
            pb.ActivityHour(
                weekday=it.weekday, hour=it.hour, request_count=it.requests, token_count=it.tokens
            )
            for it in activity.hours
        ],
        weekdays=[
            pb.ActivityWeekday(day_count=it.days, request_count=it.requests, token_count=it.tokens)
            for it in activity.weekdays
        ],
        best_weekday=activity.best_weekday,
        longest_streak=to_streak(activity.streaks.longest),
        current_streak=to_streak(activity.streaks.current),
        all_time_longest_streak=to_streak(activity.ever.longest),
        all_time_current_streak=to_streak(activity.ever.current),
    )


def to_routing(routing: Routing) -> pb.GetRoutingResponse:
    """Write where requests went."""
    return pb.GetRoutingResponse(
        routes=[
            pb.RequestedUse(
                requested_model=it.requested,
                model=it.model,
                backend=it.backend,
                request_count=it.requests,
                ok_count=it.ok,
                fallback_count=it.moved,
            )
            for it in routing.routes
        ],
        fallbacks=[
            pb.Fallback(
                backend=it.backend,
                model=it.model,
                status=usage_pb2.Status.ValueType(it.status),
                to_backend=it.to_backend,
                to_model=it.to_model,
                attempt_count=it.count,
                duration_us=it.duration_us,
            )
            for it in routing.fallbacks
        ],
    )


def to_savings(savings: Savings) -> pb.GetSavingsResponse:
    """Write what was saved."""
    return pb.GetSavingsResponse(
        total=_saving(savings.total),
        models=[_saving(each) for each in savings.models],
        kwh_usd=savings.kwh_usd,
        backends=[_energy(row) for row in savings.backends],
        remote=pb.RemoteSavings(
            request_count=savings.remote.records,
            token_count=savings.remote.tokens,
            cost_nano_usd=savings.remote.cost,
            list_price=_comparison(savings.remote.listed),
        ),
    )


def to_unpriced(models: Iterable[Unpriced]) -> pb.ListUnpricedResponse:
    """Write which models have no price."""
    return pb.ListUnpricedResponse(
        models=[
            pb.UnpricedModel(
                backend=it.backend,
                model=it.model,
                request_count=it.records,
                token_count=it.tokens,
                toml=it.toml,
            )
            for it in models
        ]
    )


def to_table(table: Table, zone: ZoneInfo) -> pb.QueryUsageResponse:
    """Write a table; what is unknown is NaN."""
    return pb.QueryUsageResponse(
        rows=[
            pb.QueryRow(
                time=row.time,
                keys=row.keys,
                values=[math.nan if value is None else value for value in row.values],
            )
            for row in table.rows
        ],
        time_zone=zone.key,
        omitted_count=table.omitted,
    )


def to_wrapped(year: Wrapped) -> pb.GetWrappedResponse:
    """Write a year."""
    board, activity = year.board, year.activity
    return pb.GetWrappedResponse(
        year=year.year,
        time_zone=board.zone,
        first_date="" if board.started is None else iso_date(board.started),
        day_count=len(activity.days),
        active_day_count=len(board.days),
        longest_streak=to_streak(activity.streaks.longest),
        most_active_day=to_day(board.most_active) if board.most_active else None,
        most_active_hour=year.busiest_hour,
        best_weekday=activity.best_weekday,
        request_count=board.requests,
        message_count=board.messages,
        session_count=board.sessions,
        conversation_count=board.conversations,
        project_count=board.projects,
        tool_call_count=year.tool_calls,
        tokens=to_token_totals(board.tokens),
        success_ratio=board.success,
        cost=to_cost(board.cost),
        savings=_saving(year.saving),
        models=[to_share(share) for share in board.models],
        backends=[to_share(share) for share in board.backends],
        projects=[to_share(share) for share in year.projects],
        clients=[to_share(share) for share in year.clients],
        locations=[to_share(share) for share in board.locations],
        days=[_chart_day(day) for day in activity.days],
        before=to_totals(board.before) if board.before else None,
        names_hidden=year.names_hidden,
    )


def _chart_day(day: ChartDay) -> pb.ActivityDay:
    return pb.ActivityDay(
        date=iso_date(day.day),
        request_count=day.requests,
        token_count=day.tokens,
        request_level=day.level,
        token_level=day.token_level,
        before_start=not day.known,
    )


def _saving(saving: Saving) -> pb.Savings:
    return pb.Savings(
        model=saving.model,
        request_count=saving.records,
        token_count=saving.tokens,
        cost_nano_usd=saving.cost,
        electricity_nano_usd=saving.electricity,
        kwh=saving.kwh,
        same_model=_comparison(saving.same),
        replacement=_comparison(saving.instead),
        confidence=pb.Confidence.ValueType(saving.confidence),
    )


def _comparison(comparison: Comparison) -> pb.Comparison:
    return pb.Comparison(
        known_ratio=comparison.known,
        reference_nano_usd=comparison.reference,
        saved_nano_usd=comparison.saved,
    )


def _energy(row: BusyRow) -> pb.BackendEnergy:
    return pb.BackendEnergy(backend=row.backend, busy_us=row.busy_us, watts=row.watts)
