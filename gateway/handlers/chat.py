"""POST /v1/chat/completions."""

from __future__ import annotations

from aiohttp import web

from gateway import clients
from gateway.bodies import parsed
from gateway.context import CLIENTS
from gateway.dialects.chat_request import parse_chat_request
from gateway.dialects.chat_response import completion_json
from gateway.dialects.chat_stream import ChatStreamEncoder
from gateway.handlers import calls
from gateway.handlers.replies import raw_json_reply
from gateway.headers import outcome_headers
from gateway.hints import read_memory_hints
from gateway.streaming import relay
from gateway.whole import kept_alive
from lair.router.v1.chat_pb2 import ChatCall

ENDPOINT = "/v1/chat/completions"


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer a chat, at once or as a stream."""
    body = await parsed(request, parse_chat_request)
    address(request, body.call, ENDPOINT)
    if body.stream:
        encoder = ChatStreamEncoder(include_usage=body.include_usage)
        return await relay(
            request,
            clients.chat_stream(request.app[CLIENTS], body.call),
            encoder,
            conversation_id=body.call.memory.conversation_id,
        )
    return await kept_alive(request, _whole(request, body.call))


def address(request: web.Request, call: ChatCall, endpoint: str) -> None:
    """Put on a chat what its request says beside the body: who asks, and all hints."""
    calls.address(request, call, endpoint)
    call.memory.CopyFrom(read_memory_hints(request.headers))


async def _whole(request: web.Request, call: ChatCall) -> web.Response:
    answer = await clients.chat(request.app[CLIENTS], call)
    headers = outcome_headers(answer.route, answer.memory)
    return raw_json_reply(completion_json(answer.completion), headers=headers)
