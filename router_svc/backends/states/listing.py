"""Models as any OpenAI-compatible server lists them. Pure.

The window has another name with each: `context_length`, `max_model_len`, `meta.n_ctx`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_svc.backends.reply_json import whole
from router_svc.backends.states.reading import listed, section, tokens
from router_svc.model import Capabilities, ServedModel

_UNKNOWN = Capabilities()


def parse_models(
    listing: Mapping[str, Any], capabilities: Capabilities = _UNKNOWN
) -> tuple[ServedModel, ...]:
    """Read a `/models` reply; entries without an id are passed over."""
    return tuple(parse_entry(entry, capabilities) for entry in listed(listing))


def parse_entry(entry: Mapping[str, Any], capabilities: Capabilities = _UNKNOWN) -> ServedModel:
    """Read one entry."""
    context = tokens(
        entry.get("context_length"),
        entry.get("max_model_len"),
        section(entry, "meta").get("n_ctx"),
    )
    return ServedModel(
        id=str(entry["id"]),
        created=whole(entry.get("created")) or 0,
        context_length=context,
        capabilities=capabilities,
        extra={k: v for k, v in entry.items() if k not in ("id", "object", "created")},
    )
