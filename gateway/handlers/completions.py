"""POST /v1/completions."""

from __future__ import annotations

from aiohttp import web

from gateway import clients
from gateway.context import CLIENTS
from gateway.dialects.completion_request import parse_completion_request
from gateway.dialects.completion_response import text_completion_json
from gateway.dialects.completion_stream import CompletionStreamEncoder
from gateway.handlers.calls import address, prompt_in
from gateway.handlers.replies import raw_json_reply
from gateway.headers import outcome_headers
from gateway.streaming import relay
from lair.router.v1.chat_pb2 import MemoryOutcome

_ENDPOINT = "/v1/completions"


async def completions(request: web.Request) -> web.StreamResponse:
    """Complete a text, at once or as a stream."""
    body = parse_completion_request(await request.read())
    address(request, body.call, _ENDPOINT)
    with prompt_in("prompt"):
        if body.stream:
            encoder = CompletionStreamEncoder(include_usage=body.include_usage)
            return await relay(
                request, clients.complete_stream(request.app[CLIENTS], body.call), encoder
            )
        answer = await clients.complete(request.app[CLIENTS], body.call)
    headers = outcome_headers(answer.route, MemoryOutcome())
    return raw_json_reply(text_completion_json(answer.completion), headers=headers)
