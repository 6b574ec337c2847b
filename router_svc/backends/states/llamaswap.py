"""llama-swap: which of its models are running. Asking for another stops one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from router_svc.backends.flavours import entries_of
from router_svc.backends.reply_json import parse_lenient
from router_svc.backends.states.listing import parse_entry
from router_svc.backends.states.reading import Fetch, Reading, flag, listed, section
from router_svc.model import Capabilities, ServedModel


async def read(listing: Mapping[str, Any], fetch: Fetch) -> Reading:
    """Read the models."""
    return Reading(parse(listing, parse_lenient(await fetch("/running"))))


def parse(listing: Mapping[str, Any], running: Mapping[str, Any]) -> tuple[ServedModel, ...]:
    """Read the list of models and the one of those that run."""
    told = isinstance(running.get("running"), list)
    ready = {
        str(entry.get("model"))
        for entry in entries_of(running, "running")
        if entry.get("state") == "ready"
    }
    return tuple(
        replace(
            parse_entry(entry),
            loaded=str(entry["id"]) in ready if told else None,
            capabilities=_capabilities(section(entry, "capabilities")),
        )
        for entry in listed(listing)
    )


def _capabilities(told: Mapping[str, Any]) -> Capabilities:
    """Read what its configuration says of a model, where it does."""
    return Capabilities(
        embeddings=flag(told.get("embeddings")),
        tools=flag(told.get("tools")),
        vision=flag(told.get("vision")),
        reasoning=flag(told.get("reasoning")),
    )
