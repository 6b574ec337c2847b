"""What the tests of a MemoryStore put in, and how they look for it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_svc.model import Probe, SearchFilter, Turn
from memory_svc.storage.base import MemoryStore
from tests.memory.chats import NOW_US, assistant, user

EVERYTHING = SearchFilter()
MODEL = "m"


def turn(name: str, *texts: str, **other: Any) -> Turn:
    """Build a turn of `ann` in `c`: what she says, and what else is said in turn."""
    roles = (user, assistant)
    messages = tuple(roles[n % 2](text) for n, text in enumerate(texts))
    fixed = {"request_id": name, "user_id": "ann", "conversation_id": "c", "at_us": NOW_US}
    return Turn(**{**fixed, "messages": messages, **other})


def unit(*numbers: float) -> NDArray[np.float32]:
    vector = np.array(numbers, dtype=np.float32)
    return vector / np.linalg.norm(vector)


async def by_words(
    store: MemoryStore, *words: str, where: SearchFilter = EVERYTHING, user_id: str = "ann"
) -> dict[str, int]:
    """Return the texts of candidates and how many words each matches."""
    probe = Probe(words, None, MODEL)
    found = await store.candidates(user_id, probe, where, 50)
    return {each.text: each.matched for each in found}


async def by_meaning(
    store: MemoryStore,
    vector: NDArray[np.float32],
    *,
    where: SearchFilter = EVERYTHING,
    user_id: str = "ann",
    model: str = MODEL,
    limit: int = 50,
) -> dict[str, float]:
    found = await store.candidates(user_id, Probe((), vector, model), where, limit)
    return {each.text: round(each.cosine or 0, 3) for each in found}


async def embed(store: MemoryStore, **vectors: NDArray[np.float32]) -> None:
    """Give the waiting messages of these texts these vectors."""
    waiting = {each.text: each.message_id for each in await store.unembedded(100)}
    await store.put_vectors(MODEL, [(waiting[text], v) for text, v in vectors.items()])
