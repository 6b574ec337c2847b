"""Make the vectors of every searchable message, in the background.

The queue is in the store, so what a killed process left is taken up by the next.
What this leaves to others: what is searchable (the store), the model (embedding).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from memory_svc.embedding.base import Embedder, EmbeddingError
from memory_svc.model import FIRST_PART, Line, Unembedded, Vector, VectorKind
from memory_svc.speech import beginning, part
from memory_svc.storage.base import MemoryStore
from svckit.logging import get_logger

log = get_logger(__name__)

_BATCH = 32
# Questions wait for one slice at most, about a tenth of a second.
_SLICE = 8
_PAUSE_SECONDS = 30.0
# Deletions leave windows to be made anew, and wake nobody.
_LOOK_SECONDS = 3.0

_ANY_TEXT = "hello"

# The default model reads about 180 words; neighbours must leave room for the message.
_MOST_WORDS, _MOST_WORDS_OF_NEIGHBOUR = 150, 40


class Indexer:
    """Works off the queue of vectors to make; `wake` says that there are more."""

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
            except EmbeddingError as error:
                log.warning("indexing paused", seconds=_PAUSE_SECONDS, error=str(error))
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
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._more.wait()

    async def _index(self, batch: Sequence[Unembedded]) -> None:
        made: list[tuple[Unembedded, Vector]] = []
        for first in range(0, len(batch), _SLICE):
            part = batch[first : first + _SLICE]
            try:
                rows = await self._embedder.embed([embedded_text(each) for each in part])
                made += zip(part, rows, strict=True)
            except EmbeddingError:
                made += await self._one_by_one(part)
        await self._store.put_vectors(self._embedder.model, made)

    async def _one_by_one(self, part: Sequence[Unembedded]) -> list[tuple[Unembedded, Vector]]:
        """Embed each alone, so that only the text at fault fails."""
        made = []
        for each in part:
            try:
                made.append((each, await self._embedded(each)))
            except EmbeddingError as error:
                # Raises where nothing can be embedded: then it is not the text's fault.
                await self._embedder.embed([_ANY_TEXT])
                await self._store.embedding_failed(self._embedder.model, each, str(error))
                log.warning("message not embedded", message=each.message_id, error=str(error))
        return made

    async def _embedded(self, waiting: Unembedded) -> Vector:
        """Embed a message, without its neighbours where they may be what cannot be embedded."""
        try:
            rows = await self._embedder.embed([embedded_text(waiting)])
        except EmbeddingError:
            if waiting.before is None and waiting.after is None:
                raise
            by_itself = replace(waiting, before=None, after=None)
            rows = await self._embedder.embed([embedded_text(by_itself)])
        vector: Vector = rows[0]
        return vector


def embedded_text(waiting: Unembedded) -> str:
    """Word a message as it is embedded: alone as it stands, with neighbours as a dialogue.

    Names and dates say more about who speaks than about what is said, so that a message
    alone goes without them.
    """
    if waiting.kind >= FIRST_PART:
        return part(waiting.line.text, waiting.kind - FIRST_PART)
    if waiting.kind == VectorKind.ALONE:
        return beginning(waiting.line.text, _MOST_WORDS)
    lines = (
        _said(waiting.before, _MOST_WORDS_OF_NEIGHBOUR),
        _said(waiting.line, _MOST_WORDS),
        _said(waiting.after, _MOST_WORDS_OF_NEIGHBOUR),
    )
    return "\n".join(line for line in lines if line)


def _said(line: Line | None, most_words: int) -> str:
    return f"{line.speaker}: {beginning(line.text, most_words)}" if line else ""
