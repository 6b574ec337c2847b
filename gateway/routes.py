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
    docs,
    embeddings,
    exporting,
    exposition,
    forgetting,
    health,
    index,
    insights,
    live,
    memory,
    messages,
    models,
    notes,
    openai_conversations,
    reports,
    responses,
    routing,
    stored_completions,
)
from gateway.repeats import repeatable

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
    Route("POST", "/v1/chat/completions", repeatable(chat.chat_completions), "chat"),
    Route("GET", "/v1/chat/completions", stored_completions.list_completions, "memory"),
    Route("GET", "/v1/chat/completions/{id}", stored_completions.get_completion, "memory"),
    Route("POST", "/v1/chat/completions/{id}", stored_completions.change_completion, "memory"),
    Route("DELETE", "/v1/chat/completions/{id}", stored_completions.delete_completion, "memory"),
    Route("GET", "/v1/chat/completions/{id}/messages", stored_completions.list_input, "memory"),
    Route("POST", "/v1/completions", repeatable(completions.completions), "chat"),
    Route("POST", "/v1/embeddings", repeatable(embeddings.embeddings), "embeddings"),
    Route("POST", "/v1/messages", repeatable(messages.messages), "chat"),
    Route("POST", "/v1/messages/count_tokens", messages.count_tokens, "chat"),
    Route("POST", "/v1/responses", repeatable(responses.create), "chat"),
    Route("POST", "/v1/responses/input_tokens", responses.count_input_tokens, "chat"),
    Route("GET", "/v1/responses/{id}", responses.get_response, "memory"),
    Route("DELETE", "/v1/responses/{id}", responses.delete_response, "memory"),
    Route("GET", "/v1/responses/{id}/input_items", responses.input_items, "memory"),
    Route("POST", "/v1/responses/{id}/cancel", responses.cancel, "memory"),
    Route("POST", "/v1/conversations", openai_conversations.create, "memory"),
    Route("GET", "/v1/conversations/{id}", openai_conversations.get, "memory"),
    Route("POST", "/v1/conversations/{id}", openai_conversations.update, "memory"),
    Route("DELETE", "/v1/conversations/{id}", openai_conversations.delete, "memory"),
    Route("GET", "/v1/conversations/{id}/items", openai_conversations.list_items, "memory"),
    Route("POST", "/v1/conversations/{id}/items", openai_conversations.add_items, "memory"),
    Route("GET", "/v1/conversations/{id}/items/{item_id}", openai_conversations.get_item, "memory"),
    Route(
        "DELETE",
        "/v1/conversations/{id}/items/{item_id}",
        openai_conversations.delete_item,
        "memory",
    ),
    Route("GET", "/v1/models", models.list_models, "any"),
    Route("GET", "/v1/models/{id:.+}", models.get_model, "any"),
    Route("POST", "/v1/routing/explain", routing.explain, "chat"),
    Route("GET", "/v1/routing/config", routing.config, "admin"),
    Route("GET", "/providers", backends.providers, "admin"),
    Route("GET", "/gaming-mode", backends.gaming_mode, "admin"),
    Route("POST", "/gaming-mode", backends.set_gaming_mode, "admin"),
    Route("GET", "/memory/conversations", conversations.list_conversations, "memory"),
    Route("POST", "/memory/conversations", conversations.create_conversation, "memory"),
    Route("GET", "/memory/conversations/{id}", conversations.get_conversation, "memory"),
    Route("PATCH", "/memory/conversations/{id}", conversations.change_conversation, "memory"),
    Route("DELETE", "/memory/conversations/{id}", conversations.delete_conversation, "memory"),
    Route("GET", "/memory/search", memory.search, "memory"),
    Route("POST", "/memory/search", memory.search_by_body, "memory"),
    Route("GET", "/memory/notes", notes.list_notes, "memory"),
    Route("POST", "/memory/notes", notes.add_note, "memory"),
    Route("PATCH", "/memory/messages/{message_id}", notes.change_message, "memory"),
    Route("DELETE", "/memory/messages/{message_id}", forgetting.forget_message, "memory"),
    Route("POST", "/memory/forget", forgetting.forget, "memory"),
    Route("GET", "/memory/recalls/{request_id}", memory.explain_recall, "memory"),
    Route("GET", "/memory/stats", memory.stats, "memory"),
    Route("GET", "/metrics", exposition.prometheus, "admin"),
    Route("GET", "/metrics/live", live.live, "metrics"),
    Route("GET", "/metrics/dashboard", reports.dashboard, "metrics"),
    Route("GET", "/metrics/recent", reports.recent, "metrics"),
    Route("GET", "/metrics/daily", reports.daily, "metrics"),
    Route("GET", "/metrics/activity", insights.activity, "metrics"),
    Route("GET", "/metrics/models", reports.models, "metrics"),
    Route("GET", "/metrics/providers", reports.providers, "metrics"),
    Route("GET", "/metrics/latency", reports.latency, "metrics"),
    Route("GET", "/metrics/routing", insights.routing, "metrics"),
    Route("GET", "/metrics/savings", insights.savings, "metrics"),
    Route("GET", "/metrics/unpriced", insights.unpriced, "metrics"),
    Route("GET", "/metrics/wrapped/{year}", insights.wrapped, "metrics"),
    Route("GET", "/metrics/export", exporting.export_usage, "metrics"),
    Route("GET", "/metrics/query", insights.query, "metrics"),
    Route("POST", "/metrics/query", insights.query_by_body, "metrics"),
    Route("GET", "/openapi.json", docs.openapi, "open"),
    Route("GET", "/docs", docs.page, "open"),
    Route("GET", "/docs/{file}", docs.file, "open"),
)


def definitions(routes: Iterable[Route] = ROUTES) -> Iterator[web.RouteDef]:
    """Yield what aiohttp adds: every form of every path."""
    for route in routes:
        for path in forms(route.path):
            if route.method == "GET":
                yield web.get(path, route.handler)  # which answers HEAD as well
            else:
                yield web.route(route.method, path, route.handler)


def scopes(routes: Iterable[Route] = ROUTES) -> dict[object, str]:
    """Return what a key needs for each handler, whatever the path it is asked by."""
    return {route.handler: route.scope for route in routes}


def forms(path: str) -> Iterator[str]:
    """Yield the forms that `path` exists in, itself first."""
    short = path.removeprefix(f"{_VERSION}/")
    plain = (path,) if short == path else (path, f"/{short}")
    yield from plain
    for each in plain:
        yield f"{PROJECT_PREFIX}{each}"
