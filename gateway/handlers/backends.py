"""GET /providers, and GET and POST of /gaming-mode: the servers behind, and their switch."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from gateway.clients import ask
from gateway.context import CLIENTS, SETTINGS, request_id_of
from gateway.dialects.rest_backends import backend_json, gaming_json
from gateway.gaming import read_switch
from gateway.handlers.replies import json_reply
from lair.router.v1.router_service_pb2 import Backend, ListBackendsRequest


async def providers(request: web.Request) -> web.Response:
    """List every backend, and how it is."""
    backends = await all_backends(request)
    return json_reply({"providers": [backend_json(backend) for backend in backends]})


async def gaming_mode(request: web.Request) -> web.Response:
    """Tell which backends automatic choice leaves alone."""
    return json_reply(gaming_json(await _switchable(request)))


async def set_gaming_mode(request: web.Request) -> web.Response:
    """Leave backends alone or choose them again; tell how all of them stand then."""
    await ask(
        "router",
        request.app[CLIENTS].router.SetBackendMode,
        read_switch(request.query, await request.read()),
        request_id=request_id_of(request),
    )
    return await gaming_mode(request)


async def all_backends(request: web.Request) -> Sequence[Backend]:
    """Ask the router for its backends."""
    answer = await ask(
        "router",
        request.app[CLIENTS].router.ListBackends,
        ListBackendsRequest(),
        request_id=request_id_of(request),
    )
    return answer.backends


async def _switchable(request: web.Request) -> list[Backend]:
    """Return the servers that automatic choice takes but for gaming mode."""
    never_chosen = {b.name for b in request.app[SETTINGS].backends if b.explicit_only}
    backends = await all_backends(request)
    return [b for b in backends if b.url and b.name not in never_chosen]
