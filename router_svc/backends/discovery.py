"""Finds LLM servers on this machine's usual ports.

A server is one that lists models in OpenAI's shape. It is never asked to infer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from router_svc.backends.openai import OpenAIBackend
from router_svc.model import State
from svckit import settings

_OURS = "lair/recall"  # only lair serves it: this very process, or another that would find us
_NAMES = {11434: "ollama", 8080: "llamacpp", 8000: "vllm", 1234: "lmstudio", 5001: "koboldcpp"}


async def discover(ports: Collection[int], taken: Collection[str]) -> list[OpenAIBackend]:
    """Return a backend for each of `ports` of loopback where a server lists models.

    `taken` holds the base URLs that are known already.
    """
    wanted = [port for port in ports if not any(_is_at(url, port) for url in taken)]
    found = await asyncio.gather(*(_look(port) for port in wanted))
    return [backend for backend in found if backend]


def _is_at(url: str, port: int) -> bool:
    return any(f"//{host}:{port}/" in f"{url}/" for host in settings.LOOPBACK)


async def _look(port: int) -> OpenAIBackend | None:
    name = f"{_NAMES.get(port, 'local')}-{port}"
    backend = OpenAIBackend(settings.Backend(name=name, url=f"http://127.0.0.1:{port}/v1"))
    try:
        snapshot = await backend.probe()
    finally:
        await backend.close()
    # While it loads it lists nothing; the next look finds it.
    names = {model.id for model in snapshot.models}
    if snapshot.state is not State.UP or not names or _OURS in names:
        return None
    return backend
