"""How many tokens a chat's prompt takes of the model that would be asked first.

Counted by the model's own server where that counts, and soon; else estimated.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lair.router.v1.chat_pb2 import ChatCall
from router_svc.backends.base import Counter
from router_svc.catalog import Catalog
from router_svc.chats import Chats
from router_svc.model import Candidate, UpstreamError

# Agents ask before each of their requests, and wait for it.
_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Count:
    """A prompt's tokens, for whom, and whether they were counted there."""

    tokens: int
    exact: bool
    backend: str
    model: str


class Counting:
    """Counts prompts."""

    def __init__(self, chats: Chats, catalog: Catalog, *, seconds: float = _SECONDS) -> None:
        self._chats = chats
        self._catalog = catalog
        self._seconds = seconds

    async def count(self, call: ChatCall) -> Count:
        """Count the prompt of `call`, without its conversation's history. Raises `ServiceError`."""
        first, prompt = await self._chats.first_choice(call)
        counted = await self._counted(call, first)
        if counted:
            prompt.estimator.learn(prompt.size, first.backend, first.model, counted)
        tokens = counted or prompt.tokens(first.backend, first.model)
        return Count(tokens, bool(counted), first.backend, first.model)

    async def _counted(self, call: ChatCall, candidate: Candidate) -> int | None:
        try:
            backend = self._catalog.backend(candidate.backend)
            if not isinstance(backend, Counter):
                return None
            async with asyncio.timeout(self._seconds):
                return await backend.count(call, candidate.model)
        except (UpstreamError, TimeoutError):  # gone meanwhile, or busy
            return None
