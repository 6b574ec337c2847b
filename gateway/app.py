"""The web application, put together."""

from __future__ import annotations

from aiohttp import web

from gateway.bodies import parser
from gateway.clients import Clients
from gateway.context import CLIENTS, SETTINGS
from gateway.middleware import add_reply_headers, edge
from gateway.routes import definitions
from svckit.settings import Settings

_BYTES_PER_MIB = 2**20


def build_app(settings: Settings, clients: Clients) -> web.Application:
    """Put the application together."""
    app = web.Application(
        middlewares=[edge], client_max_size=settings.gateway.max_body_mb * _BYTES_PER_MIB
    )
    app[SETTINGS] = settings
    app[CLIENTS] = clients
    app.cleanup_ctx.append(parser)
    app.on_response_prepare.append(add_reply_headers)
    app.add_routes(definitions())
    return app
