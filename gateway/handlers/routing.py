"""POST /v1/routing/explain and GET /v1/routing/config: where requests go, and how to say it."""

from __future__ import annotations

from aiohttp import web

from gateway.bodies import parsed
from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.chat_request import parse_chat_request
from gateway.dialects.rest_backends import explanation_json, routing_json
from gateway.handlers import chat
from gateway.handlers.backends import all_backends
from gateway.handlers.models import all_models
from gateway.handlers.replies import json_reply
from gateway.headers import REQUEST_HEADERS, RESPONSE_HEADERS
from lair.router.v1.router_service_pb2 import ExplainRouteRequest


async def explain(request: web.Request) -> web.Response:
    """Tell where a chat would go and why, without running it."""
    call = (await parsed(request, parse_chat_request)).call
    chat.address(request, call, chat.ENDPOINT)
    decision = await ask(
        "router",
        request.app[CLIENTS].router.ExplainRoute,
        ExplainRouteRequest(call=call),
        request_id=request_id_of(request),
    )
    return json_reply(explanation_json(decision.candidates))


async def config(request: web.Request) -> web.Response:
    """Tell what a request can name, and the headers that lair understands and sends."""
    return json_reply(
        routing_json(
            await all_backends(request),
            await all_models(request),
            request_headers=REQUEST_HEADERS,
            response_headers=RESPONSE_HEADERS,
        )
    )
