"""Give every searchable message its vector, in the background.

The queue is in the store, so what a killed process left is taken up by the next.
What this leaves to others: what is searchable (the store), the model (embedding).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from memory_svc.embedding.base import Embedder, EmbeddingError
from memory_svc.model import Unembedded, Vector
from memory_svc.storage.base import MemoryStore
from svckit.logging import get_logger

log = get_logger(__name__)

_BATCH = 32
# Questions wait for one slice at most, about a tenth of a second.
_SLICE = 8
_MOST_CHARACTERS = 1000
_PAUSE_SECONDS = 30.0


class Indexer:
    """Works off the queue of messages without a vector; `wake` says that there are more."""

    def __init__(self, store: MemoryStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._more = asyncio.Event()

    def wake(self) -> None:
        """Say that messages were stored."""
        self._more.set()

    async def run(self) -> None:
        """Load the model, then index until cancelled; return if there is no model."""
        await self._embedder.load()
        if self._embedder.status.state != "ready":
            return
        while True:
            try:
                await self._follow()
            except Exception:
                # This task's edge: search by words must outlive a full disk.
                log.exception("indexing paused", seconds=_PAUSE_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow(self) -> None:
        await self._store.await_vectors(self._embedder.model)
        while True:
            self._more.clear()
            while batch := await self._store.unembedded(_BATCH):
                await self._index(batch)
            await self._more.wait()

    async def _index(self, batch: Sequence[Unembedded]) -> None:
        model = self._embedder.model
        vectors: list[tuple[int, Vector]] = []
        for first in range(0, len(batch), _SLICE):
            part = batch[first : first + _SLICE]
            try:
                rows = await self._embedder.embed([embedded_text(each) for each in part])
                vectors += zip((each.message_id for each in part), rows, strict=True)
            except EmbeddingError:
                vectors += await self._one_by_one(part)
        await self._store.put_vectors(model, vectors)

    async def _one_by_one(self, part: Sequence[Unembedded]) -> list[tuple[int, Vector]]:
        """Embed each alone, so that only the text at fault fails."""
        vectors = []
        for each in part:
            try:
                rows = await self._embedder.embed([embedded_text(each)])
                vectors.append((each.message_id, rows[0]))
            except EmbeddingError as error:
                model = self._embedder.model
                await self._store.embedding_failed(model, each.message_id, str(error))
                log.warning("message not embedded", message=each.message_id, error=str(error))
        return vectors


def embedded_text(message: Unembedded) -> str:
    """Word a message as it is embedded: short chat turns embed badly without context."""
    day = datetime.fromtimestamp(message.created_us / 1e6, UTC)
    said = f"{message.speaker} ({day.day} {day:%B %Y}): {message.text}"
    return said[:_MOST_CHARACTERS]
