"""Which passages were recalled for which request, written down behind the answer's back.

A recall is noted at once and stored a moment later, so that no chat waits for the disk.
How long recalls are kept, and what takes them away, is the store's business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

from memory_svc.model import Recall
from memory_svc.storage.base import MemoryStore
from svckit.logging import get_logger

log = get_logger(__name__)

_MOST_PENDING = 1000  # beyond it the oldest are dropped
_BATCH = 100
_LINGER_SECONDS = 0.2
_PAUSE_SECONDS = 30.0


class RecallLog:
    """The recalls of one store; `run` writes down what `note` is told."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._pending: deque[Recall] = deque(maxlen=_MOST_PENDING)
        self._more = asyncio.Event()
        self._writing = asyncio.Lock()

    def note(self, recall: Recall) -> None:
        """Take a recall to be written down soon."""
        self._pending.append(recall)
        self._more.set()

    async def write(self) -> None:
        """Write down what was noted so far."""
        async with self._writing:
            self._more.clear()
            while batch := list(islice(self._pending, _BATCH)):
                await self._store.keep_recalls(batch)
                for recall in batch:
                    # The oldest may have been dropped meanwhile.
                    if self._pending and self._pending[0] is recall:
                        self._pending.popleft()

    async def find(self, user_id: str, request_id: str) -> Recall | None:
        """Return a user's recall for a request; None if none is kept."""
        await self.write()
        return await self._store.recall(user_id, request_id)

    async def run(self) -> None:
        """Write until cancelled, and then what is left."""
        try:
            await self._store.keep_recalls([])  # which drops what is too old
            while True:
                await self._more.wait()
                await asyncio.sleep(_LINGER_SECONDS)
                try:
                    await self.write()
                except Exception:
                    # This task's edge: recall must outlive a full disk.
                    log.exception("recalls are not written down", seconds=_PAUSE_SECONDS)
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            await self.write()
