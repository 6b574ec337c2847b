"""/metrics/activity, query, routing, savings, unpriced, wrapped: more of what was used."""

from __future__ import annotations

from aiohttp import web

from gateway.bodies import parsed
from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.rest_activity import activity_json, wrapped_json
from gateway.dialects.rest_costs import savings_json, unpriced_json
from gateway.dialects.rest_queries import ReportQuery, UsageQuery, WrappedQuery
from gateway.dialects.rest_reading import read_body, read_query
from gateway.dialects.rest_usage import filter_of, routing_use_json, table_json
from gateway.handlers.replies import narrowed_user
from gateway.handlers.reporting import report_reply, report_scope
from lair.metrics.v1.report_service_pb2 import (
    GetActivityRequest,
    GetRoutingRequest,
    GetSavingsRequest,
    GetWrappedRequest,
    ListUnpricedRequest,
    QueryUsageRequest,
    ReportScope,
)
from svckit.errors import invalid_field

_YEAR_DIGITS = 4


async def activity(request: web.Request) -> web.Response:
    """Return a year's chart of days as GitHub draws it, or that of another time."""
    query = read_query(request.query.items(), ReportQuery)
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.GetActivity,
        GetActivityRequest(scope=report_scope(request, query)),
        request_id=request_id_of(request),
    )
    return report_reply(activity_json(answer))


async def routing(request: web.Request) -> web.Response:
    """Tell which models were asked for, which answered, and what failed before."""
    query = read_query(request.query.items(), ReportQuery)
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.GetRouting,
        GetRoutingRequest(scope=report_scope(request, query)),
        request_id=request_id_of(request),
    )
    return report_reply(routing_use_json(answer))


async def savings(request: web.Request) -> web.Response:
    """Tell what local models saved, which may be less than nothing."""
    query = read_query(request.query.items(), ReportQuery)
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.GetSavings,
        GetSavingsRequest(scope=report_scope(request, query)),
        request_id=request_id_of(request),
    )
    return report_reply(savings_json(answer))


async def unpriced(request: web.Request) -> web.Response:
    """List models whose tokens have no known price, each with what to write about it."""
    query = read_query(request.query.items(), ReportQuery)
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.ListUnpriced,
        ListUnpricedRequest(scope=report_scope(request, query)),
        request_id=request_id_of(request),
    )
    return report_reply(unpriced_json(answer.models))


async def wrapped(request: web.Request) -> web.Response:
    """Sum up a year, for a card to show to others."""
    query = read_query(request.query.items(), WrappedQuery)
    scope = ReportScope(
        user_id=narrowed_user(request),
        project=query.project,
        key_id=query.key,
        time_zone=query.tz or "",
    )
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.GetWrapped,
        GetWrappedRequest(scope=scope, year=_year(request), hide_names=query.hide_names),
        request_id=request_id_of(request),
    )
    return report_reply(wrapped_json(answer))


async def query(request: web.Request) -> web.Response:
    """Add up any measures, told apart by any dimensions and by time."""
    return await _table(request, read_query(request.query.items(), UsageQuery))


async def query_by_body(request: web.Request) -> web.Response:
    """Add up as GET does, with the question in the body."""
    return await _table(request, await parsed(request, _read_usage))


def _read_usage(body: bytes) -> UsageQuery:
    return read_body(body, UsageQuery)


async def _table(request: web.Request, asked: UsageQuery) -> web.Response:
    dimensions = list(dict.fromkeys(asked.dimensions))
    answer = await ask(
        "metrics",
        request.app[CLIENTS].reports.QueryUsage,
        QueryUsageRequest(
            scope=report_scope(request, asked),
            dimensions=dimensions,
            measures=asked.measures,
            filters=[filter_of(text) for text in asked.filters],
            granularity=asked.granularity,
            limit=asked.limit,
        ),
        request_id=request_id_of(request),
    )
    return report_reply(table_json(answer, dimensions, asked.measures))


def _year(request: web.Request) -> int:
    text = request.match_info["year"]
    if not (text.isascii() and text.isdecimal() and len(text) <= _YEAR_DIGITS):
        raise invalid_field("year", f"year is {text[:30]!r}; send one like 2026")
    return int(text)
