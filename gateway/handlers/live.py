"""GET /metrics/live: requests as they come, get on and end, until the client has seen enough."""

from __future__ import annotations

import asyncio

from aiohttp import web
from google.protobuf.duration_pb2 import Duration

from gateway.clients import watch
from gateway.context import CLIENTS, request_id_of
from gateway.dialects import sse
from gateway.dialects.rest_live import live_events
from gateway.dialects.rest_queries import LiveQuery
from gateway.dialects.rest_reading import read_query
from gateway.handlers.replies import narrowed_user
from lair.router.v1.router_service_pb2 import WatchRequestsRequest
from svckit.errors import ServiceError
from svckit.logging import get_logger

log = get_logger(__name__)

# The handlers that tell of requests just now.
WATCHING: web.AppKey[set[asyncio.Task[None]]] = web.AppKey("watching", set)


async def live(request: web.Request) -> web.StreamResponse:
    """Tell of requests as they come, get on and end, in server-sent events.

    `snapshot` has all that are in flight, and comes first, and again after `lost`; `started`
    has one that came in, `progress` those in flight at every `interval`, `finished` one that
    ended, as in `/metrics/recent`. A comment tells that nothing is in flight.
    """
    query = read_query(request.query.items(), LiveQuery)
    interval = Duration()
    interval.FromMilliseconds(round(query.interval * 1000))
    wish = WatchRequestsRequest(
        user_id=narrowed_user(request), project=query.project, progress_interval=interval
    )
    response = web.StreamResponse(headers=sse.HEADERS)
    if request.method == "HEAD":
        await response.prepare(request)
        return response
    telling = asyncio.create_task(_tell(request, wish, response))
    request.app[WATCHING].add(telling)
    try:
        await asyncio.wait({telling})
    finally:
        request.app[WATCHING].discard(telling)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    if not telling.cancelled():
        telling.result()
    return response


async def stop_watching(app: web.Application) -> None:
    """End all such answers: they would keep the gateway from ending."""
    for telling in app[WATCHING]:
        telling.cancel()


async def _tell(
    request: web.Request, wish: WatchRequestsRequest, response: web.StreamResponse
) -> None:
    """Pass on what happens; an answer that has begun just ends where the router goes away."""
    try:
        with watch(request.app[CLIENTS], wish, request_id=request_id_of(request)) as messages:
            async for message in messages:
                await response.prepare(request)  # does nothing the second time
                await response.write(live_events(message) or sse.KEEP_ALIVE)
    except ServiceError as error:
        if not response.prepared:
            raise
        log.info("nobody tells of requests any more", error=error.message)
