"""GET /metrics and what is below it: what was used."""

from __future__ import annotations

from datetime import date, datetime

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.clients import ask
from gateway.context import CLIENTS, SETTINGS, request_id_of
from gateway.dialects.rest_calendar import activity_json, daily_json
from gateway.dialects.rest_queries import RecentQuery, ReportQuery
from gateway.dialects.rest_reading import read_query
from gateway.dialects.rest_records import records_json
from gateway.dialects.rest_reports import (
    dashboard_json,
    latency_json,
    model_use_json,
    provider_use_json,
)
from gateway.handlers.replies import json_reply, narrowed_user
from gateway.scope import Span, read_span, read_zone
from lair.metrics.v1.report_service_pb2 import (
    GetDashboardRequest,
    GetDashboardResponse,
    GetLatencyRequest,
    ListRequestsRequest,
    ReportScope,
)


async def prometheus(_: web.Request) -> web.Response:
    """Return the counters of this process, as Prometheus reads them."""
    return web.Response(body=generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})


async def dashboard(request: web.Request) -> web.Response:
    """Return the summary a dashboard shows first."""
    used, _ = await _used(request)
    return json_reply(dashboard_json(used))


async def daily(request: web.Request) -> web.Response:
    """Tell what was used each day, idle days included."""
    used, span = await _used(request)
    days = daily_json(used, start=span.first, end=span.last, today=_today(used))
    return json_reply(days)


async def activity(request: web.Request) -> web.Response:
    """Return a year's chart of days as GitHub draws it, or that of another time."""
    used, span = await _used(request)
    chart = activity_json(used, start=span.first, end=span.last, today=_today(used))
    return json_reply(chart)


async def models(request: web.Request) -> web.Response:
    """Tell how much each model was used."""
    used, _ = await _used(request)
    return json_reply(model_use_json(used))


async def providers(request: web.Request) -> web.Response:
    """Tell how much each backend was used, and how much stayed in the house."""
    used, _ = await _used(request)
    return json_reply(provider_use_json(used))


async def latency(request: web.Request) -> web.Response:
    """Tell how fast answers were, by model and by backend."""
    query = read_query(request.query.items(), ReportQuery)
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.GetLatency,
        GetLatencyRequest(scope=_scope(request, query)),
        request_id=request_id_of(request),
    )
    return json_reply(latency_json(answer))


async def recent(request: web.Request) -> web.Response:
    """List counted requests, the latest first."""
    query = read_query(request.query.items(), RecentQuery)
    page = await ask(
        "metrics",
        request.app[CLIENTS].reports.ListRequests,
        ListRequestsRequest(
            scope=_scope(request, query),
            page_size=query.limit,
            page_token=query.page_token,
        ),
        request_id=request_id_of(request),
    )
    return json_reply(records_json(page.records, page.next_page_token))


async def _used(request: web.Request) -> tuple[GetDashboardResponse, Span]:
    """Ask for the dashboard, which most reports are a part of, and say for which days."""
    query = read_query(request.query.items(), ReportQuery)
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.GetDashboard,
        GetDashboardRequest(scope=_scope(request, query)),
        request_id=request_id_of(request),
    )
    return answer, _span(request, query)


def _scope(request: web.Request, query: ReportQuery | RecentQuery) -> ReportScope:
    span = _span(request, query)
    return ReportScope(
        user_id=narrowed_user(request),
        project=query.project,
        time_zone=query.tz or "",
        start_time=span.start,
        end_time=span.end,
    )


def _span(request: web.Request, query: ReportQuery | RecentQuery) -> Span:
    zone = request.app[SETTINGS].metrics.time_zone
    return read_span(query.start, query.end, query.tz, default_zone=zone)


def _today(used: GetDashboardResponse) -> date:
    """Return what day it is where the report's days are."""
    return datetime.now(read_zone(used.time_zone)).date()
