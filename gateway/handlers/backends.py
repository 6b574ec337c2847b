"""GET /providers, and GET and POST of /gaming-mode: the servers behind, and their switch."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.rest_backends import Providers, backend_json, gaming_json
from gateway.gaming import read_switch
from gateway.handlers.replies import json_reply
from lair.router.v1.router_service_pb2 import Backend, ListBackendsRequest


async def providers(request: web.Request) -> web.Response:
    """List every backend, and how it is."""
    backends = await all_backends(request)
    return json_reply(Providers([backend_json(backend) for backend in backends]))


async def gaming_mode(request: web.Request) -> web.Response:
    """Tell which backends automatic choice leaves alone."""
    return json_reply(gaming_json(await all_backends(request)))


async def set_gaming_mode(request: web.Request) -> web.Response:
    """Leave backends alone or choose them again; tell how all of them stand then."""
    answer = await ask(
        "router",
        request.app[CLIENTS].router.SetBackendMode,
        read_switch(request.query, await request.read()),
        request_id=request_id_of(request),
    )
    return json_reply(gaming_json(await all_backends(request), answer.unloadings))


async def all_backends(request: web.Request) -> Sequence[Backend]:
    """Ask the router for its backends."""
    answer = await ask(
        "router",
        request.app[CLIENTS].router.ListBackends,
        ListBackendsRequest(),
        request_id=request_id_of(request),
    )
    return answer.backends
