"""Fill a memory_svc database with made conversations, through the store's own writes.

Embedding every turn of a million would take hours, and vectors that are searched fast need
only lie as real ones do. So those of a pool of turns are made by the model, and each stored
turn gets one between two of them, with some noise, by `put_vectors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bench.memory_turns import Chat, chats
from memory_svc.embedding.base import Embedder
from memory_svc.model import Message, Turn, Unembedded, Vector
from memory_svc.storage.local.store import open_local_store

POOL = 1500
_NOISE = 0.4
_CHATS_AT_ONCE, _VECTORS_AT_ONCE = 20, 2000


@dataclass(frozen=True)
class Pool:
    """Vectors of the model, and its name."""

    model: str
    vectors: Vector

    def vectors_for(self, waiting: Sequence[Unembedded]) -> Vector:
        """Return a vector for each; of the same message and kind always the same."""
        seeds = [each.message_id * 2 + each.kind for each in waiting]
        chance = np.random.default_rng(seeds[0])
        one, other = (self.vectors[chance.integers(0, len(self.vectors), len(seeds))] for _ in "ab")
        share = chance.uniform(0.3, 1, (len(seeds), 1))
        rows = share * one + (1 - share) * other
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows += chance.normal(size=rows.shape) * (_NOISE / np.sqrt(rows.shape[1]))
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


async def pool_of(embedder: Embedder, size: int = POOL) -> Pool:
    """Embed made turns with a loaded model."""
    texts = [
        text
        for chat in chats(size, 1, seed=2)
        for e in chat.exchanges
        for text in (e.said, e.answer)
    ]
    return Pool(embedder.model, await embedder.embed(texts[:size]))


async def fill(
    path: Path, pool: Pool, turns: int, users: int, said: Callable[[str, int], Any]
) -> None:
    """Store `turns` messages of so many users with their vectors; tell `said` how far it is."""
    async with open_local_store(path) as store:
        made = chats(turns, users)
        stored = 0
        while batch := list(islice(made, _CHATS_AT_ONCE)):
            await store.append([turn for chat in batch for turn in turns_of(chat)])
            stored += sum(chat.turns for chat in batch)
            said("stored", stored)
        indexed = 0
        while waiting := await store.unembedded(_VECTORS_AT_ONCE):
            vectors = pool.vectors_for(waiting)
            await store.put_vectors(pool.model, list(zip(waiting, vectors, strict=True)))
            indexed += len(waiting)
            said("vectors", indexed)


def turns_of(chat: Chat) -> Iterator[Turn]:
    """Yield a conversation's requests as a client sends them: each with all that was said."""
    history: list[Message] = []
    for number, exchange in enumerate(chat.exchanges):
        history.append(Message(role="user", text=exchange.said))
        answer = Message(role="assistant", text=exchange.answer)
        yield Turn(
            request_id=f"{chat.number:08x}-{number:04x}-7000-8000-0123456789ab",
            user_id=user_id(chat.user),
            conversation_id=conversation_id(chat.number),
            at_us=exchange.at_us,
            messages=tuple(history),
            reply=answer,
            model="llama-3.1-8b-instruct",
            backend="ollama",
            endpoint="chat.completions",
        )
        history.append(answer)


def user_id(user: int) -> str:
    return f"user-{user}"


def conversation_id(chat: int) -> str:
    return f"{chat:08x}-0000-7000-8000-ba9876543210"
