"""The kinds of backends a configuration may name."""

from __future__ import annotations

from collections.abc import Callable

from router_svc.backends.base import Backend
from router_svc.backends.ollama import OllamaBackend
from router_svc.backends.openai import OpenAIBackend
from svckit import settings
from svckit.config import ConfigError, nearest

KINDS: dict[str, Callable[[settings.Backend], Backend]] = {
    "openai": OpenAIBackend,
    "ollama": OllamaBackend,
}


def make_backend(config: settings.Backend) -> Backend:
    """Make the backend that `config` describes. Raises `ConfigError` for an unknown kind."""
    kind = KINDS.get(config.kind)
    if kind is None:
        raise ConfigError(
            f"backends: {config.name}: unknown kind {config.kind!r}; {nearest(config.kind, KINDS)}"
        )
    return kind(config)
