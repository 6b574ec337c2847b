"""POST /v1/chat/completions."""

from __future__ import annotations

from aiohttp import web

from gateway import clients
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.chat_request import parse_chat_request
from gateway.dialects.chat_response import completion_json
from gateway.dialects.chat_stream import ChatStreamEncoder
from gateway.handlers.replies import raw_json_reply
from gateway.headers import outcome_headers
from gateway.hints import read_memory_hints, read_route_hints, read_untraced
from gateway.identity import read_caller
from gateway.streaming import relay
from lair.router.v1.chat_pb2 import ChatCall

_ENDPOINT = "/v1/chat/completions"


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer a chat, at once or as a stream."""
    body = parse_chat_request(await request.read())
    address(request, body.call, _ENDPOINT)
    if body.stream:
        encoder = ChatStreamEncoder(include_usage=body.include_usage)
        return await relay(request, body.call, encoder)
    answer = await clients.chat(request.app[CLIENTS], body.call)
    headers = outcome_headers(answer.route, answer.memory)
    return raw_json_reply(completion_json(answer.completion), headers=headers)


def address(request: web.Request, call: ChatCall, endpoint: str) -> None:
    """Put on a call what its request says beside the body: who asks, and all hints."""
    call.request_id = request_id_of(request)
    call.caller.CopyFrom(read_caller(request.headers))
    call.route.CopyFrom(read_route_hints(request.headers))
    call.memory.CopyFrom(read_memory_hints(request.headers))
    call.untraced = read_untraced(request.headers)
    call.endpoint = endpoint
