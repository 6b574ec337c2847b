"""How the state of each flavour is read, and what its kind of server can do at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from router_svc.backends.flavours import Flavour
from router_svc.backends.states import llamacpp, llamaswap, lmstudio, ollama, openrouter, vllm
from router_svc.backends.states.listing import parse_models
from router_svc.backends.states.reading import Fetch, Reading
from router_svc.model import Capabilities

_TRANSFORMERS = Capabilities(chat=True, embeddings=False, json_schema=False)

_READERS: dict[Flavour, Callable[[Mapping[str, Any], Fetch], Awaitable[Reading]]] = {
    Flavour.LLAMACPP: llamacpp.read,
    Flavour.VLLM: vllm.read,
    Flavour.LMSTUDIO: lmstudio.read,
    Flavour.LLAMASWAP: llamaswap.read,
    Flavour.OLLAMA: ollama.read,
    Flavour.OPENROUTER: openrouter.read,
}


async def read_state(flavour: Flavour, listing: Mapping[str, Any], fetch: Fetch) -> Reading:
    """Return what a server of `flavour` tells beside its list of models."""
    reader = _READERS.get(flavour)
    if reader is None:
        capabilities = _TRANSFORMERS if flavour is Flavour.TRANSFORMERS else Capabilities()
        return Reading(parse_models(listing, capabilities))
    reading = await reader(listing, fetch)
    # What it tells elsewhere may fail; what it lists has been read.
    return reading if reading.models else Reading(parse_models(listing))
