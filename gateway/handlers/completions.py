"""POST /v1/completions."""

from __future__ import annotations

from aiohttp import web

from gateway import clients
from gateway.bodies import parsed
from gateway.context import CLIENTS
from gateway.dialects.completion_request import parse_completion_request
from gateway.dialects.completion_response import text_completion_json
from gateway.dialects.completion_stream import CompletionStreamEncoder
from gateway.handlers.calls import address, prompt_in
from gateway.handlers.replies import raw_json_reply
from gateway.headers import outcome_headers
from gateway.streaming import relay
from gateway.whole import kept_alive
from lair.router.v1.chat_pb2 import MemoryOutcome
from lair.router.v1.completion_pb2 import CompletionCall

_ENDPOINT = "/v1/completions"


async def completions(request: web.Request) -> web.StreamResponse:
    """Complete a text, at once or as a stream."""
    body = await parsed(request, parse_completion_request)
    address(request, body.call, _ENDPOINT)
    if not body.stream:
        return await kept_alive(request, _whole(request, body.call))
    with prompt_in("prompt"):
        encoder = CompletionStreamEncoder(include_usage=body.include_usage)
        stream = clients.complete_stream(request.app[CLIENTS], body.call)
        return await relay(request, stream, encoder)


async def _whole(request: web.Request, call: CompletionCall) -> web.Response:
    with prompt_in("prompt"):
        answer = await clients.complete(request.app[CLIENTS], call)
    headers = outcome_headers(answer.route, MemoryOutcome())
    return raw_json_reply(text_completion_json(answer.completion), headers=headers)
