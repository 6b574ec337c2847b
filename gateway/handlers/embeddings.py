"""POST /v1/embeddings."""

from __future__ import annotations

from aiohttp import web

from gateway import clients
from gateway.bodies import parsed
from gateway.context import CLIENTS
from gateway.dialects.embeddings import EmbeddingBody, embeddings_json, parse_embedding_request
from gateway.handlers.calls import address, prompt_in
from gateway.handlers.replies import raw_json_reply
from gateway.headers import outcome_headers
from gateway.whole import kept_alive
from lair.router.v1.chat_pb2 import MemoryOutcome

_ENDPOINT = "/v1/embeddings"


async def embeddings(request: web.Request) -> web.StreamResponse:
    """Turn texts into vectors."""
    body = await parsed(request, parse_embedding_request)
    address(request, body.call, _ENDPOINT)
    return await kept_alive(request, _whole(request, body))


async def _whole(request: web.Request, body: EmbeddingBody) -> web.Response:
    with prompt_in("input"):
        answer = await clients.embed(request.app[CLIENTS], body.call)
    headers = outcome_headers(answer.route, MemoryOutcome())
    return raw_json_reply(embeddings_json(answer.result, as_base64=body.as_base64), headers=headers)
