"""What all reports have in common: which requests they are about, and that none is kept."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gateway.context import SETTINGS
from gateway.dialects.rest_queries import ExportQuery, RecentQuery, ReportQuery, UsageQuery
from gateway.handlers.replies import json_reply, narrowed_user
from gateway.scope import Span, read_span
from lair.metrics.v1.report_service_pb2 import ReportScope

Query = ReportQuery | RecentQuery | UsageQuery | ExportQuery


def report_scope(request: web.Request, query: Query) -> ReportScope:
    """Return which requests a report is about."""
    span = report_span(request, query)
    return ReportScope(
        user_id=narrowed_user(request),
        project=query.project,
        key_id=query.key,
        time_zone=query.tz or "",
        start_time=span.start,
        end_time=span.end,
    )


def report_span(request: web.Request, query: Query) -> Span:
    """Return the days that a report is about."""
    zone = request.app[SETTINGS].metrics.time_zone
    return read_span(query.start, query.end, query.tz, default_zone=zone)


def report_reply(value: Any) -> web.Response:
    """Reply with a report, which is another one a moment later."""
    reply = json_reply(value)
    reply.headers["Cache-Control"] = "no-store"
    return reply
