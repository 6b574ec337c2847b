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
    """Return the texts of candidates that have any of the words, and how many they have."""
    evidence = await store.evidence(user_id, Probe(words), where, 50)
    texts = await texts_of(store, evidence.message_ids.tolist(), where, user_id)
    matched = zip(texts, evidence.matched.tolist(), strict=True)
    return {text: count for text, count in matched if count}


async def by_meaning(
    store: MemoryStore,
    vector: NDArray[np.float32],
    *,
    where: SearchFilter = EVERYTHING,
    user_id: str = "ann",
    model: str = MODEL,
) -> dict[str, float]:
    """Return the texts of candidates that have a vector, and its cosine."""
    probe = Probe(vector=vector, bare_vector=vector, model=model)
    evidence = await store.evidence(user_id, probe, where, 50)
    texts = await texts_of(store, evidence.message_ids.tolist(), where, user_id)
    near = zip(texts, evidence.near.tolist(), evidence.around.tolist(), strict=True)
    return {text: round(alone, 2) for text, alone, around in near if alone or around}


async def texts_of(
    store: MemoryStore, ids: list[int], where: SearchFilter = EVERYTHING, user_id: str = "ann"
) -> list[str]:
    """Return the texts of messages in the order of their numbers; all of them must be shown."""
    said = {each.message_id: each.text for each in await store.said(user_id, ids, where)}
    return [said[message_id] for message_id in ids]


async def embed(store: MemoryStore, **vectors: NDArray[np.float32]) -> None:
    """Give the waiting messages of these texts these vectors, alone and with neighbours."""
    waiting = [each for each in await store.unembedded(900) if each.line.text in vectors]
    await store.put_vectors(MODEL, [(each, vectors[each.line.text]) for each in waiting])


async def waiting_texts(store: MemoryStore) -> list[str]:
    """Return the texts that wait for a vector, each once, in the order of the queue."""
    return list(dict.fromkeys(each.line.text for each in await store.unembedded(900)))
