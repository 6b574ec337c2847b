"""Which path is answered by which handler, and what a key needs for it.

Every path exists in three forms: paths of the OpenAI and Anthropic APIs also without
their `/v1`, as clients are often told an address without it; and each under
`/p/<project>`, which names the project for clients that cannot set a header.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

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

# `open` needs no key, `any` one of whatever scope; the others are a key's scopes.
Scope = Literal["open", "any", "chat", "embeddings", "memory", "metrics", "admin"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROJECT_PREFIX = "/p/{project}"
_VERSION = "/v1"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: `path` in aiohttp's form, with `/v1` where it has one."""

    method: str
    path: str
    handler: Handler
    scope: Scope


ROUTES = (
    Route("GET", "/", index.index, "open"),
    Route("GET", "/health", health.health, "open"),
    Route("POST", "/v1/chat/completions", chat.chat_completions, "chat"),
    Route("POST", "/v1/completions", completions.completions, "chat"),
    Route("POST", "/v1/embeddings", embeddings.embeddings, "embeddings"),
    Route("GET", "/v1/models", models.list_models, "any"),
    Route("GET", "/v1/models/{id:.+}", models.get_model, "any"),
    Route("POST", "/v1/routing/explain", routing.explain, "chat"),
    Route("GET", "/v1/routing/config", routing.config, "admin"),
    Route("GET", "/providers", backends.providers, "admin"),
    Route("GET", "/gaming-mode", backends.gaming_mode, "admin"),
    Route("POST", "/gaming-mode", backends.set_gaming_mode, "admin"),
    Route("GET", "/memory/conversations", conversations.list_conversations, "memory"),
    Route("GET", "/memory/conversations/{id}", conversations.get_conversation, "memory"),
    Route("DELETE", "/memory/conversations/{id}", conversations.delete_conversation, "memory"),
    Route("GET", "/metrics", reports.prometheus, "admin"),
    Route("GET", "/metrics/dashboard", reports.dashboard, "metrics"),
    Route("GET", "/metrics/recent", reports.recent, "metrics"),
)


def definitions(routes: Iterable[Route] = ROUTES) -> Iterator[web.RouteDef]:
    """Yield what aiohttp adds: every form of every path."""
    for route in routes:
        for path in forms(route.path):
            if route.method == "GET":
                yield web.get(path, route.handler)  # which answers HEAD as well
            else:
                yield web.route(route.method, path, route.handler)


def forms(path: str) -> Iterator[str]:
    """Yield the forms that `path` exists in, itself first."""
    short = path.removeprefix(f"{_VERSION}/")
    plain = (path,) if short == path else (path, f"/{short}")
    yield from plain
    for each in plain:
        yield f"{PROJECT_PREFIX}{each}"
