"""The web application: which path is answered by which handler."""

from __future__ import annotations

from aiohttp import web

from gateway.bodies import parser
from gateway.clients import Clients
from gateway.context import CLIENTS, SETTINGS
from gateway.handlers import (
    backends,
    chat,
    completions,
    conversations,
    embeddings,
    health,
    index,
    models,
    reports,
    routing,
)
from gateway.middleware import add_reply_headers, edge
from svckit.settings import Settings

_BYTES_PER_MIB = 2**20

# Clients are often told an address without `/v1`: paths of the OpenAI API have both forms.
ROUTES = (
    web.get("/", index.index),
    web.get("/health", health.health),
    web.post("/v1/chat/completions", chat.chat_completions),
    web.post("/chat/completions", chat.chat_completions),
    web.post("/v1/completions", completions.completions),
    web.post("/completions", completions.completions),
    web.post("/v1/embeddings", embeddings.embeddings),
    web.post("/embeddings", embeddings.embeddings),
    web.get("/v1/models", models.list_models),
    web.get("/models", models.list_models),
    web.get("/v1/models/{id:.+}", models.get_model),
    web.get("/models/{id:.+}", models.get_model),
    web.post("/v1/routing/explain", routing.explain),
    web.post("/routing/explain", routing.explain),
    web.get("/v1/routing/config", routing.config),
    web.get("/routing/config", routing.config),
    web.get("/providers", backends.providers),
    web.get("/gaming-mode", backends.gaming_mode),
    web.post("/gaming-mode", backends.set_gaming_mode),
    web.get("/memory/conversations", conversations.list_conversations),
    web.get("/memory/conversations/{id}", conversations.get_conversation),
    web.delete("/memory/conversations/{id}", conversations.delete_conversation),
    web.get("/metrics", reports.prometheus),
    web.get("/metrics/dashboard", reports.dashboard),
    web.get("/metrics/recent", reports.recent),
)


def build_app(settings: Settings, clients: Clients) -> web.Application:
    """Put the application together."""
    app = web.Application(
        middlewares=[edge], client_max_size=settings.gateway.max_body_mb * _BYTES_PER_MIB
    )
    app[SETTINGS] = settings
    app[CLIENTS] = clients
    app.cleanup_ctx.append(parser)
    app.on_response_prepare.append(add_reply_headers)
    app.add_routes(ROUTES)
    return app
