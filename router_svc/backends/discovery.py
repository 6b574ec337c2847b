"""Finds LLM servers on this machine's usual ports.

A server is one that lists models in OpenAI's shape; Ollama is then used by its native API.
None is ever asked to infer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from router_svc.backends.base import Backend
from router_svc.backends.flavours import Flavour
from router_svc.backends.ollama import OllamaBackend
from router_svc.backends.openai import OpenAIBackend
from router_svc.model import State
from svckit import settings

_OURS = "lair/recall"  # only lair serves it: this very process, or another that would find us
_NAMES = {11434: "ollama", 8080: "llamacpp", 8000: "vllm", 1234: "lmstudio", 5001: "koboldcpp"}


async def discover(ports: Collection[int], taken: Collection[str]) -> list[Backend]:
    """Return a backend for each of `ports` of loopback where a server lists models.

    `taken` holds the base URLs that are known already.
    """
    wanted = [port for port in ports if not any(_is_at(url, port) for url in taken)]
    found = await asyncio.gather(*(_look(port) for port in wanted))
    return [backend for backend in found if backend]


def _is_at(url: str, port: int) -> bool:
    return any(f"//{host}:{port}/" in f"{url}/" for host in settings.LOOPBACK)


async def _look(port: int) -> Backend | None:
    config = settings.Backend(name="unnamed", url=f"http://127.0.0.1:{port}/v1")
    stranger = OpenAIBackend(config)
    try:
        snapshot = await stranger.probe()
    finally:
        await stranger.close()
    # While it loads it lists nothing; the next look finds it.
    names = {model.id for model in snapshot.models}
    if snapshot.state is not State.UP or not names or _OURS in names:
        return None
    known = stranger.flavour is not Flavour.OPENAI
    name = stranger.flavour.value if known else _NAMES.get(port, "local")
    named = config.model_copy(update={"name": f"{name}-{port}"})
    if stranger.flavour is Flavour.OLLAMA:
        return OllamaBackend(named.model_copy(update={"kind": OllamaBackend.kind}))
    return OpenAIBackend(named)
