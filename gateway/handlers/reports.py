"""GET /metrics and what is below it: what was used."""

from __future__ import annotations

from datetime import date, datetime

from aiohttp import web

from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.rest_calendar import daily_json
from gateway.dialects.rest_queries import RecentQuery, ReportQuery
from gateway.dialects.rest_reading import read_query
from gateway.dialects.rest_records import records_json
from gateway.dialects.rest_reports import (
    dashboard_json,
    latency_json,
    model_use_json,
    provider_use_json,
)
from gateway.handlers.reporting import report_reply, report_scope, report_span
from gateway.scope import Span, read_zone
from lair.metrics.v1.report_service_pb2 import (
    GetDashboardRequest,
    GetDashboardResponse,
    GetLatencyRequest,
    ListRequestsRequest,
)


async def dashboard(request: web.Request) -> web.Response:
    """Return the summary a dashboard shows first."""
    used, _ = await _used(request)
    return report_reply(dashboard_json(used))


async def daily(request: web.Request) -> web.Response:
    """Tell what was used each day, idle days included."""
    used, span = await _used(request)
    days = daily_json(used, start=span.first, end=span.last, today=_today(used))
    return report_reply(days)


async def models(request: web.Request) -> web.Response:
    """Tell how much each model was used."""
    used, _ = await _used(request)
    return report_reply(model_use_json(used))


async def providers(request: web.Request) -> web.Response:
    """Tell how much each backend was used, and how much stayed in the house."""
    used, _ = await _used(request)
    return report_reply(provider_use_json(used))


async def latency(request: web.Request) -> web.Response:
    """Tell how fast answers were, by model and by backend."""
    query = read_query(request.query.items(), ReportQuery)
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.GetLatency,
        GetLatencyRequest(scope=report_scope(request, query)),
        request_id=request_id_of(request),
    )
    return report_reply(latency_json(answer))


async def recent(request: web.Request) -> web.Response:
    """List counted requests, the latest first."""
    query = read_query(request.query.items(), RecentQuery)
    page = await ask(
        "metrics",
        request.app[CLIENTS].reports.ListRequests,
        ListRequestsRequest(
            scope=report_scope(request, query),
            page_size=query.limit,
            page_token=query.page_token,
        ),
        request_id=request_id_of(request),
    )
    return report_reply(records_json(page.records, page.next_page_token))


async def _used(request: web.Request) -> tuple[GetDashboardResponse, Span]:
    """Ask for the dashboard, which most reports are a part of, and say for which days."""
    query = read_query(request.query.items(), ReportQuery)
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.GetDashboard,
        GetDashboardRequest(scope=report_scope(request, query)),
        request_id=request_id_of(request),
    )
    return answer, report_span(request, query)


def _today(used: GetDashboardResponse) -> date:
    """Return what day it is where the report's days are."""
    return datetime.now(read_zone(used.time_zone)).date()
