"""A channel that has nothing to say does not drown the other one.

On a memory made up here: chats about things, each of which is told once. Questions
either repeat rare words of what was told, or mean the same in other words.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from memory_svc.embedding.base import Embedder, ModelStatus
from memory_svc.ingest import Indexer
from memory_svc.model import SearchFilter, Turn, Vector
from memory_svc.search import CHANNELS, MEANING, WORDS, Search
from memory_svc.storage.local.store import open_local_store
from tests.memory.chats import NOW_US, WordEmbedder, user

CHANCE = random.Random(3)
SYLLABLES = ("ba", "ko", "mi", "ru", "se", "ta", "lo", "vi", "ne", "du")
NOUNS = ["".join(CHANCE.sample(SYLLABLES, 3)) for _ in range(160)]
OTHER = {f"x{noun}": noun for noun in NOUNS}  # another word for each
SMALL_TALK = ("sounds good", "tell me more", "what a day", "that is great", "take care", "nice")
QUESTIONS, TOP = 60, 5


def chats() -> list[list[str]]:
    """Return twenty conversations in which things are told amid small talk."""
    told = [
        f"my {a} is near the {b} {c}" for a, b, c in (CHANCE.sample(NOUNS, 3) for _ in range(120))
    ]
    return [
        [text for fact in told[n::20] for text in (CHANCE.choice(SMALL_TALK), fact)]
        for n in range(20)
    ]


CHATS = chats()
TOLD = [text for chat in CHATS for text in chat if text.startswith("my ")]


def repeated(told: str) -> str:
    _, first, *_, second, third = told.split()
    return f"where is the {first} with {CHANCE.choice((second, third))} and {CHANCE.choice(NOUNS)}"


def reworded(told: str) -> str:
    _, first, *_, second, third = told.split()
    return f"where is the x{first} with x{second} and x{third}"


class RandomEmbedder(WordEmbedder):
    """Understands nothing: each text has a direction of its own, between the given angles."""

    def __init__(self, *, alike: bool) -> None:
        super().__init__(model="random")
        self._chance = np.random.default_rng(5)
        self._middle = 3.0 if alike else 0.0

    async def embed(self, texts: Sequence[str]) -> Vector:
        rows = self._chance.normal(self._middle, 1, size=(len(texts), 96)).astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


async def recall(
    folder: Path, embedder: Embedder, ask: Callable[[str], str]
) -> dict[tuple[str, ...], float]:
    """Return by channels how many of the questions find what they ask for among the first."""
    async with open_local_store(folder / "memory.db") as store:
        for n, chat in enumerate(CHATS):
            await store.append([Turn(f"r{n}", "ann", f"c{n}", tuple(map(user, chat)), NOW_US)])
        indexing = asyncio.create_task(Indexer(store, embedder).run())
        while (await store.index_counts(embedder.model)).pending:
            pass  # asking the database lets the indexer work
        indexing.cancel()
        search = Search(store, embedder, threshold=0.35)
        found = dict.fromkeys(((WORDS,), (MEANING,), CHANNELS), 0.0)
        for told in TOLD[:QUESTIONS]:
            question = ask(told)
            for channels in found:
                passages = await search.find(
                    "ann", question, SearchFilter(), TOP, channels=channels
                )
                found[channels] += told in [each.text for each in passages.passages]
    return {channels: count / QUESTIONS for channels, count in found.items()}


@pytest.mark.parametrize("alike", [False, True], ids=["scattered", "all alike"])
async def test_random_vectors_take_less_than_two_points_from_words(tmp_path: Path, alike: bool):
    found = await recall(tmp_path, RandomEmbedder(alike=alike), repeated)
    assert found[(WORDS,)] > 0.8
    assert found[CHANNELS] > found[(WORDS,)] - 0.02


async def test_words_that_are_not_there_take_less_than_two_points_from_meaning(tmp_path: Path):
    found = await recall(tmp_path, WordEmbedder(OTHER), reworded)
    assert found[(WORDS,)] < 0.2
    assert found[(MEANING,)] > 0.8
    assert found[CHANNELS] > found[(MEANING,)] - 0.02


async def test_a_channel_can_be_left_out(tmp_path: Path):
    async with open_local_store(tmp_path / "memory.db") as store:
        await store.append([Turn("r", "ann", "c", (user("my zebra"),), NOW_US)])
        embedder = WordEmbedder()
        embedder.status = ModelStatus("loading")
        search = Search(store, embedder, threshold=0.35)
        found = await search.find("ann", "zebra", SearchFilter(), 5, channels=(WORDS,))
        assert ([each.text for each in found.passages], found.degraded) == (["my zebra"], "")
        found = await search.find("ann", "zebra", SearchFilter(), 5, channels=(MEANING,))
        assert (found.passages, found.degraded) == ((), "meaning: the embedding model is loading")
