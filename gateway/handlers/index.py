"""GET /: what this is, and where to go from here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from aiohttp import web

from gateway.handlers.replies import json_reply

_LINKS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "models": "/v1/models",
    "health": "/health",
    "providers": "/providers",
    "routing": "/v1/routing/config",
    "gaming_mode": "/gaming-mode",
    "conversations": "/memory/conversations",
    "dashboard": "/metrics/dashboard",
    "recent_requests": "/metrics/recent",
    "prometheus": "/metrics",
}


async def index(_: web.Request) -> web.Response:
    """Say what is served here."""
    return json_reply({"name": "lair", "version": _version(), "links": _LINKS})


def _version() -> str | None:
    try:
        return version("local-ai-router")
    except PackageNotFoundError:  # run from a source tree
        return None
