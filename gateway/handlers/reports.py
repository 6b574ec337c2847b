"""GET /metrics, /metrics/dashboard and /metrics/recent: what was used."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.clients import ask
from gateway.context import CLIENTS, SETTINGS, request_id_of
from gateway.dialects.rest_reports import dashboard_json, record_json
from gateway.handlers.replies import json_reply, narrowed_user, query_count, query_text
from gateway.scope import read_scope
from lair.metrics.v1.report_service_pb2 import (
    GetDashboardRequest,
    ListRequestsRequest,
    ReportScope,
)

_MAX_RECENT = 1000


async def prometheus(_: web.Request) -> web.Response:
    """Return the counters of this process."""
    return web.Response(body=generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})


async def dashboard(request: web.Request) -> web.Response:
    """Return the summary a dashboard shows first."""
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.GetDashboard,
        GetDashboardRequest(scope=_scope(request)),
        request_id=request_id_of(request),
    )
    return json_reply(dashboard_json(answer))


async def recent(request: web.Request) -> web.Response:
    """List counted requests, the latest first."""
    page = await ask(
        "metrics",
        request.app[CLIENTS].reports.ListRequests,
        ListRequestsRequest(
            scope=_scope(request),
            page_size=query_count(request, "limit", maximum=_MAX_RECENT),
            page_token=request.query.get("page_token", ""),
        ),
        request_id=request_id_of(request),
    )
    return json_reply(
        {
            "requests": [record_json(record) for record in page.records],
            "next_page_token": page.next_page_token or None,
        }
    )


def _scope(request: web.Request) -> ReportScope:
    return read_scope(
        request.query,
        user_id=narrowed_user(request),
        project=query_text(request, "project"),
        default_zone=request.app[SETTINGS].metrics.time_zone,
    )
