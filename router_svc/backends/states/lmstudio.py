"""LM Studio: which models are loaded, with which window, and what they can do.

`/v1/models` says which can be asked for. `/api/v0/models` tells of each its type and state,
`/api/v1/models` (0.4 and newer) the configuration of what is loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from router_svc.backends.flavours import entries_of
from router_svc.backends.reply_json import parse_lenient
from router_svc.backends.states.listing import parse_entry
from router_svc.backends.states.reading import (
    Fetch,
    Reading,
    flag,
    listed,
    section,
    tokens,
    words,
)
from router_svc.model import Capabilities, ServedModel

_STATE_LOADED = {"loaded": True, "not-loaded": False, "loading": False}


async def read(listing: Mapping[str, Any], fetch: Fetch) -> Reading:
    """Read the models."""
    older, newer = await asyncio.gather(fetch("/api/v0/models"), fetch("/api/v1/models"))
    return Reading(parse(listing, parse_lenient(older), parse_lenient(newer)))


def parse(
    listing: Mapping[str, Any], older: Mapping[str, Any], newer: Mapping[str, Any]
) -> tuple[ServedModel, ...]:
    """Read the list of models and what both native lists tell of them."""
    by_id = {str(entry["id"]): entry for entry in listed(older)}
    instances = dict(_instances(newer))
    return tuple(
        _model(entry, by_id.get(str(entry["id"]), {}), instances.get(str(entry["id"]), {}))
        for entry in listed(listing)
    )


def _instances(newer: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each model under its key and under the names of what is loaded of it."""
    for entry in entries_of(newer, "models"):
        loaded = entries_of(entry, "loaded_instances")
        if isinstance(key := entry.get("key"), str):
            yield key, {**entry, "config": section(loaded[0] if loaded else {}, "config")}
        for instance in loaded:
            if isinstance(name := instance.get("id"), str):
                yield name, {**entry, "config": section(instance, "config")}


def _model(
    entry: Mapping[str, Any], older: Mapping[str, Any], newer: Mapping[str, Any]
) -> ServedModel:
    config = section(newer, "config")
    state = older.get("state")
    loaded = _STATE_LOADED.get(state) if isinstance(state, str) else None
    if loaded is None and "loaded_instances" in newer:
        loaded = bool(newer["loaded_instances"])
    return replace(
        parse_entry(entry),
        context_length=tokens(
            older.get("loaded_context_length"),
            config.get("context_length"),
            older.get("max_context_length"),
            newer.get("max_context_length"),
        ),
        loaded=loaded,
        slots=tokens(config.get("parallel")),
        capabilities=_capabilities(older, newer),
    )


def _capabilities(older: Mapping[str, Any], newer: Mapping[str, Any]) -> Capabilities:
    kind = older.get("type") or newer.get("type")
    if kind in ("embeddings", "embedding"):
        return Capabilities(
            chat=False,
            embeddings=True,
            tools=False,
            vision=False,
            json_schema=False,
            reasoning=False,
        )
    if kind not in ("llm", "vlm"):
        return Capabilities()
    can, told = words(older.get("capabilities")), section(newer, "capabilities")
    tools = flag(told.get("trained_for_tool_use"))
    return Capabilities(
        chat=True,
        embeddings=False,
        # Other models are told of tools by a prompt of LM Studio's own: no reason to refuse.
        tools=True if tools or (can and "tool_use" in can) else None,
        vision=True if kind == "vlm" else flag(told.get("vision")),
        json_schema=True,
        reasoning=True if told.get("reasoning") else None,
    )
