"""POST /v1/messages and /v1/messages/count_tokens, as Anthropic's clients ask."""

from __future__ import annotations

from aiohttp import web

from gateway import clients
from gateway.bodies import parsed
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.anthropic_request import parse_count_request, parse_messages_request
from gateway.dialects.anthropic_response import message_json
from gateway.dialects.anthropic_stream import AnthropicStreamEncoder
from gateway.handlers.chat import address
from gateway.handlers.replies import json_reply, raw_json_reply
from gateway.headers import outcome_headers
from gateway.streaming import relay
from gateway.whole import kept_alive
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.router_service_pb2 import CountTokensRequest

_MESSAGES = "/v1/messages"
_COUNT = "/v1/messages/count_tokens"


async def messages(request: web.Request) -> web.StreamResponse:
    """Answer with a message, at once or as a stream."""
    body = await parsed(request, parse_messages_request)
    address(request, body.call, _MESSAGES)
    if not body.stream:
        return await kept_alive(request, _whole(request, body.call))
    return await relay(
        request,
        clients.chat_stream(request.app[CLIENTS], body.call),
        AnthropicStreamEncoder(request_id_of(request), body.call.stop),
        conversation_id=body.call.memory.conversation_id,
    )


async def count_tokens(request: web.Request) -> web.Response:
    """Count the tokens of a prompt for the model that would be asked."""
    call = await parsed(request, parse_count_request)
    address(request, call, _COUNT)
    counted = await clients.ask(
        "router",
        request.app[CLIENTS].router.CountTokens,
        CountTokensRequest(call=call),
        request_id=call.request_id,
    )
    return json_reply({"input_tokens": counted.token_count})


async def _whole(request: web.Request, call: ChatCall) -> web.Response:
    answer = await clients.chat(request.app[CLIENTS], call)
    headers = outcome_headers(answer.route, answer.memory)
    return raw_json_reply(message_json(answer.completion, call.stop), headers=headers)
