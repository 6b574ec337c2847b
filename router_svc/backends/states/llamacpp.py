"""llama.cpp's server: window for each slot, slots, what the template and projector can do.

It lists its model while it still loads it; its health tells. In router mode it lists many
models, each with its status; `/props` is then not asked for a model, as that would load it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

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

_LOADING = 503
_STATUS_LOADED = {"loaded": True, "unloaded": False, "loading": False, "sleeping": False}


async def read(listing: Mapping[str, Any], fetch: Fetch) -> Reading:
    """Read the models; of a server that has one, its properties too."""
    if _is_router(listing):
        # The list below the root tells more than the one below `/v1` of older builds.
        fresh = parse_lenient(await fetch("/models"))
        return Reading(parse(fresh if listed(fresh) else listing, {}))
    health, props = await asyncio.gather(fetch("/health"), fetch("/props"))
    loading = section(parse_lenient(health), "error").get("code") == _LOADING
    return Reading(parse(listing, parse_lenient(props)), loading=loading)


def parse(listing: Mapping[str, Any], props: Mapping[str, Any]) -> tuple[ServedModel, ...]:
    """Read a list of models and the properties of a server that has one."""
    return tuple(_model(entry, props) for entry in listed(listing))


def _is_router(listing: Mapping[str, Any]) -> bool:
    return any(section(entry, "status").get("value") for entry in listed(listing))


def _model(entry: Mapping[str, Any], props: Mapping[str, Any]) -> ServedModel:
    model = parse_entry(entry)
    status = section(entry, "status").get("value")
    asleep = flag(props.get("is_sleeping"))
    loaded = None if asleep is None else not asleep
    if isinstance(status, str):
        loaded = _STATUS_LOADED.get(status)
    seen = words(section(entry, "architecture").get("input_modalities"))
    vision = flag(section(props, "modalities").get("vision"))
    if vision is None and seen is not None:
        vision = "image" in seen
    return replace(
        model,
        context_length=model.context_length
        or tokens(section(props, "default_generation_settings").get("n_ctx")),
        loaded=loaded,
        slots=tokens(props.get("total_slots")),
        capabilities=Capabilities(
            tools=flag(section(props, "chat_template_caps").get("supports_tools")),
            vision=vision,
            json_schema=True,  # by grammar, whatever the model
        ),
    )
