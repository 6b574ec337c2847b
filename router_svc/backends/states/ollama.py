"""Ollama: its models by `/api/tags`, what is in memory by `/api/ps`, details by `/api/show`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from router_svc.backends.flavours import entries_of
from router_svc.backends.reply_json import parse_lenient
from router_svc.backends.states.reading import Fetch, Reading, section, tokens, words
from router_svc.model import Capabilities, ServedModel

_NOT_EXTRA = ("name", "model", "modified_at")


@dataclass(frozen=True, slots=True)
class Details:
    """A model's longest window and Ollama's names for what it can do; None where unknown."""

    context: int | None = None
    can: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Installed:
    """A model as `/api/tags` lists it."""

    name: str
    digest: str
    created: int
    # Answered by a server of Ollama's own, whatever the address says.
    remote: bool
    details: Details
    extra: Mapping[str, Any]


async def read(listing: Mapping[str, Any], fetch: Fetch) -> Reading:  # noqa: ARG001  # as all
    """Read the models, without the details that newer servers list anyway."""
    tags, ps = await asyncio.gather(fetch("/api/tags"), fetch("/api/ps"))
    in_force = parse_ps(parse_lenient(ps))
    return Reading(
        tuple(
            served(model, model.details, in_force, context=(in_force or {}).get(model.name))
            for model in parse_tags(parse_lenient(tags))
        )
    )


def parse_tags(body: Mapping[str, Any]) -> tuple[Installed, ...]:
    """Read what is installed; entries without a name are passed over."""
    return tuple(
        Installed(
            name=name,
            digest=str(entry.get("digest") or ""),
            created=_seconds(entry.get("modified_at")),
            remote=bool(entry.get("remote_host") or entry.get("remote_model")),
            details=Details(
                tokens(section(entry, "details").get("context_length")),
                words(entry.get("capabilities")),
            ),
            extra={key: value for key, value in entry.items() if key not in _NOT_EXTRA},
        )
        for entry in entries_of(body, "models")
        if isinstance(name := entry.get("name") or entry.get("model"), str)
    )


def parse_ps(body: Mapping[str, Any]) -> dict[str, int | None] | None:
    """Return the window in force of each model in memory, as far as told; None for no list."""
    if not isinstance(body.get("models"), list):
        return None
    return {
        name: tokens(entry.get("context_length"))
        for entry in entries_of(body, "models")
        if isinstance(name := entry.get("name") or entry.get("model"), str)
    }


def parse_show(body: Mapping[str, Any]) -> Details:
    """Read a model's details."""
    info = section(body, "model_info")
    context = info.get(f"{info.get('general.architecture')}.context_length")
    return Details(tokens(context), words(body.get("capabilities")))


def served(
    model: Installed,
    details: Details,
    in_force: Mapping[str, int | None] | None,
    *,
    context: int | None = None,
) -> ServedModel:
    """Put a model together; `context` is its window where it is not its longest."""
    extra = model.extra
    if window := (in_force or {}).get(model.name):
        extra = {**extra, "context_in_force": window}
    return ServedModel(
        id=model.name,
        created=model.created,
        context_length=context or details.context,
        loaded=None if in_force is None else model.name in in_force,
        capabilities=_capabilities(details.can),
        remote=model.remote,
        extra=extra,
    )


def _capabilities(can: frozenset[str] | None) -> Capabilities:
    if can is None:
        return Capabilities()
    return Capabilities(
        chat="completion" in can,
        embeddings="embedding" in can,
        tools="tools" in can,
        vision="vision" in can,
        json_schema="completion" in can,  # by grammar, whatever the model
        reasoning="thinking" in can,
    )


def _seconds(value: object) -> int:
    try:
        return int(datetime.fromisoformat(value).timestamp()) if isinstance(value, str) else 0
    except (ValueError, OverflowError):
        return 0
