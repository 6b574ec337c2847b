"""/memory/search, /memory/stats, /memory/recalls: what of the past fits, and how much there is."""

from __future__ import annotations

from aiohttp import web

from gateway.bodies import parsed
from gateway.clients import ask
from gateway.context import CLIENTS, SETTINGS, request_id_of
from gateway.dialects.rest_conversations import (
    found_json,
    index_json,
    recall_json,
    stats_json,
)
from gateway.dialects.rest_queries import SearchQuery
from gateway.dialects.rest_reading import read_body, read_query
from gateway.handlers.replies import administers, json_reply, narrowed_user
from gateway.scope import read_span
from lair.memory.v1.conversation_service_pb2 import GetStatsRequest
from lair.memory.v1.recall_service_pb2 import (
    ExplainRequest,
    GetIndexStatusRequest,
    SearchFilter,
    SearchRequest,
)


async def search(request: web.Request) -> web.Response:
    """Find what was said, by words and by meaning; of one user, by default the default one."""
    return await _search(request, read_query(request.query.items(), SearchQuery))


async def search_by_body(request: web.Request) -> web.Response:
    """Find what was said, as GET does, with the question in the body, where no log shows it."""
    return await _search(request, await parsed(request, _read_search))


async def stats(request: web.Request) -> web.Response:
    """Count what is remembered, of everybody or of one user, and tell how its index stands."""
    user_id = narrowed_user(request)
    counted = await ask(
        "memory",
        request.app[CLIENTS].conversations.GetStats,
        GetStatsRequest(user_id=user_id, all_users=not user_id),
        request_id=request_id_of(request),
    )
    index = await ask(
        "memory",
        request.app[CLIENTS].recall.GetIndexStatus,
        GetIndexStatusRequest(),
        request_id=request_id_of(request),
    )
    shown = index_json(index, with_counts=administers(request))
    return json_reply(stats_json(counted, shown))


async def explain_recall(request: web.Request) -> web.Response:
    """Tell what was recalled for a request, and out of what; of one user, as a search."""
    told = await ask(
        "memory",
        request.app[CLIENTS].recall.Explain,
        ExplainRequest(user_id=narrowed_user(request), request_id=request.match_info["request_id"]),
        request_id=request_id_of(request),
    )
    return json_reply(recall_json(told))


def _read_search(body: bytes) -> SearchQuery:
    return read_body(body, SearchQuery)


async def _search(request: web.Request, query: SearchQuery) -> web.Response:
    zone = request.app[SETTINGS].metrics.time_zone
    span = read_span(query.start, query.end, query.tz, default_zone=zone)
    found = await ask(
        "memory",
        request.app[CLIENTS].recall.Search,
        SearchRequest(
            user_id=narrowed_user(request),
            query=query.q,
            limit=query.limit,
            filter=SearchFilter(
                project=query.project,
                session_id=query.session_id,
                conversation_id=query.conversation_id,
                roles=query.role,
                tags=query.tag,
                start_time=span.start,
                end_time=span.end,
            ),
        ),
        request_id=request_id_of(request),
    )
    return json_reply(found_json(found))
