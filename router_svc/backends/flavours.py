"""Which server answers behind an OpenAI-compatible address, told by what it lists. Pure.

Most sign their list of models. Of a server that does not, `QUESTIONS` are asked once: small
documents that only one kind of server has. Nothing is inferred and nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any


class Flavour(StrEnum):
    """A server whose ways are known; `OPENAI` is any other."""

    OPENAI = "openai"
    LLAMACPP = "llamacpp"
    VLLM = "vllm"
    LMSTUDIO = "lmstudio"
    LLAMASWAP = "llamaswap"
    OLLAMA = "ollama"
    TRANSFORMERS = "transformers"
    OPENROUTER = "openrouter"


# `owned_by` in the entries of `/models`.
_OWNERS = {
    "llama-swap": Flavour.LLAMASWAP,
    "llamacpp": Flavour.LLAMACPP,
    "vllm": Flavour.VLLM,
    "organization_owner": Flavour.LMSTUDIO,
    "library": Flavour.OLLAMA,
    "koboldcpp": Flavour.OPENAI,
}


def recognise(listing: Mapping[str, Any], server: str = "") -> Flavour | None:
    """Tell who signed a `/models` reply; `server` is its header of that name."""
    entries = entries_of(listing, "data")
    owners = {owner for entry in entries if isinstance(owner := entry.get("owned_by"), str)}
    signed = {_OWNERS[owner] for owner in owners & _OWNERS.keys()}
    if signed:  # several stand for a gateway in front of them, whose ways are its own
        return signed.pop() if len(signed) == 1 else Flavour.OPENAI
    if server.lower().startswith("llama.cpp"):
        return Flavour.LLAMACPP
    if any("canonical_slug" in entry and "pricing" in entry for entry in entries):
        return Flavour.OPENROUTER
    if any(isinstance(entry.get("created"), float) for entry in entries):
        return Flavour.TRANSFORMERS  # the only one that counts parts of seconds
    return None


def entries_of(body: object, name: str) -> list[dict[str, Any]]:
    """Return the objects of the list called `name`; nothing where there is none."""
    found = body.get(name) if isinstance(body, Mapping) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _is_lm_studio(body: Mapping[str, Any]) -> bool:
    return any("state" in entry for entry in entries_of(body, "data"))


# A path below the server's root, and what its JSON shows.
QUESTIONS: tuple[tuple[str, Flavour, Callable[[Mapping[str, Any]], bool]], ...] = (
    ("/api/tags", Flavour.OLLAMA, lambda body: bool(entries_of(body, "models"))),
    ("/running", Flavour.LLAMASWAP, lambda body: isinstance(body.get("running"), list)),
    ("/props", Flavour.LLAMACPP, lambda body: "default_generation_settings" in body),
    ("/api/v0/models", Flavour.LMSTUDIO, _is_lm_studio),
)


def answered(replies: Mapping[str, Mapping[str, Any] | None]) -> Flavour:
    """Tell the flavour by the replies to `QUESTIONS`, by path."""
    for path, flavour, is_it in QUESTIONS:
        body = replies.get(path)
        if body is not None and is_it(body):
            return flavour
    return Flavour.OPENAI
