"""The web application, put together."""

from __future__ import annotations

from aiohttp import web

from gateway.access import ACCESS, Access
from gateway.bodies import parser
from gateway.clients import Clients
from gateway.context import CLIENTS, SETTINGS
from gateway.handlers.docs import DOCUMENT, Document
from gateway.handlers.live import WATCHING, stop_watching
from gateway.idempotency import Answers
from gateway.middleware import add_reply_headers, edge
from gateway.openapi.document import document_json
from gateway.recent import RECENT, Recent
from gateway.repeats import ANSWERS, record_stream
from gateway.retries import FAILURES, Failures
from gateway.routes import definitions, scopes
from gateway.sessions import SESSIONS, Sessions
from gateway.withheld import tell_of_withheld_memory
from svckit.settings import Settings

_BYTES_PER_MIB = 2**20


def build_app(settings: Settings, clients: Clients) -> web.Application:
    """Put the application together. Raises `KeyFileError`."""
    app = web.Application(
        middlewares=[edge], client_max_size=settings.gateway.max_body_mb * _BYTES_PER_MIB
    )
    app[SETTINGS] = settings
    app[CLIENTS] = clients
    app[DOCUMENT] = Document.of(document_json())
    app[ACCESS] = Access(settings, clients, scopes())
    app[SESSIONS] = Sessions()
    app[FAILURES] = Failures()
    app[ANSWERS] = Answers()
    app[RECENT] = Recent()
    app[WATCHING] = set()
    app.on_shutdown.append(stop_watching)
    app.cleanup_ctx.append(parser)
    app.on_response_prepare.extend((add_reply_headers, tell_of_withheld_memory, record_stream))
    app.add_routes(definitions())
    return app
