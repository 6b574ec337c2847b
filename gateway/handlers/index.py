"""GET /: what this is, and where to go from here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from aiohttp import web
from msgspec import Struct

from gateway.handlers.replies import json_reply

LINKS = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "responses": "/v1/responses",
    "response_tokens": "/v1/responses/input_tokens",
    "openai_conversations": "/v1/conversations",
    "messages": "/v1/messages",
    "message_tokens": "/v1/messages/count_tokens",
    "models": "/v1/models",
    "health": "/health",
    "providers": "/providers",
    "routing": "/v1/routing/config",
    "routing_explain": "/v1/routing/explain",
    "gaming_mode": "/gaming-mode",
    "conversations": "/memory/conversations",
    "search": "/memory/search",
    "notes": "/memory/notes",
    "forget": "/memory/forget",
    "memory_stats": "/memory/stats",
    "dashboard": "/metrics/dashboard",
    "recent_requests": "/metrics/recent",
    "daily": "/metrics/daily",
    "activity": "/metrics/activity",
    "model_usage": "/metrics/models",
    "provider_usage": "/metrics/providers",
    "latency": "/metrics/latency",
    "usage_query": "/metrics/query",
    "usage_export": "/metrics/export",
    "routing_usage": "/metrics/routing",
    "savings": "/metrics/savings",
    "unpriced": "/metrics/unpriced",
    "live_requests": "/metrics/live",
    "prometheus": "/metrics",
}


class Root(Struct, frozen=True):
    """What this is, and the address of each thing it serves."""

    name: str
    version: str | None
    links: dict[str, str]


async def index(_: web.Request) -> web.Response:
    """Say what is served here."""
    return json_reply(Root("lair", own_version(), LINKS))


def own_version() -> str | None:
    """Return lair's version; None where it is not installed."""
    try:
        return version("local-ai-router")
    except PackageNotFoundError:  # run from a source tree
        return None
