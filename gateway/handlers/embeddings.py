"""POST /v1/embeddings."""

from __future__ import annotations

from aiohttp import web

from gateway import clients
from gateway.context import CLIENTS
from gateway.dialects.embeddings import embeddings_json, parse_embedding_request
from gateway.handlers.calls import address, prompt_in
from gateway.handlers.replies import raw_json_reply
from gateway.headers import outcome_headers
from lair.router.v1.chat_pb2 import MemoryOutcome

_ENDPOINT = "/v1/embeddings"


async def embeddings(request: web.Request) -> web.Response:
    """Turn texts into vectors."""
    body = parse_embedding_request(await request.read())
    address(request, body.call, _ENDPOINT)
    with prompt_in("input"):
        answer = await clients.embed(request.app[CLIENTS], body.call)
    headers = outcome_headers(answer.route, MemoryOutcome())
    return raw_json_reply(embeddings_json(answer.result, as_base64=body.as_base64), headers=headers)
