"""How messages get their vectors: in the background, through failures and restarts."""

import asyncio
from pathlib import Path

from memory_svc.ingest import Indexer, embedded_text
from memory_svc.model import IndexCounts, Turn, Unembedded
from memory_svc.storage.base import MemoryStore
from memory_svc.storage.local.store import open_local_store
from tests.memory.chats import NOW_US, WordEmbedder, user


async def say(store: MemoryStore, name: str, *texts: str) -> None:
    await store.append([Turn(name, "ann", name, tuple(map(user, texts)), NOW_US)])


async def settled(store: MemoryStore, embedder: WordEmbedder) -> IndexCounts:
    while (counts := await store.index_counts(embedder.model)).pending:
        pass  # asking the database lets the indexer work
    return counts


async def test_what_was_stored_before_and_after_the_start_is_indexed(tmp_path: Path):
    embedder = WordEmbedder()
    async with open_local_store(tmp_path / "m.db") as store:
        await say(store, "before", *(f"text {n}" for n in range(70)))
        indexer = Indexer(store, embedder)
        indexing = asyncio.create_task(indexer.run())
        assert await settled(store, embedder) == IndexCounts(70, 0)
        await say(store, "after", "one more")
        indexer.wake()
        assert await settled(store, embedder) == IndexCounts(71, 0)
        indexing.cancel()


async def test_a_text_that_cannot_be_embedded_is_given_up_after_three_attempts(tmp_path: Path):
    embedder = WordEmbedder()
    async with open_local_store(tmp_path / "m.db") as store:
        await say(store, "a", "good", "poison", "also good")
        indexing = asyncio.create_task(Indexer(store, embedder).run())
        assert await settled(store, embedder) == IndexCounts(2, 0)
        indexing.cancel()
        alone = [text for text in embedder.attempts if "poison" in text]
        # Each attempt is made with its neighbours first, then alone.
        assert len(alone) == 6


async def test_a_killed_process_leaves_its_queue_to_the_next(tmp_path: Path):
    async with open_local_store(tmp_path / "m.db") as store:
        await say(store, "a", "one", "two")
        [first, _] = await store.unembedded(9)
        await store.put_vectors(
            "words", [(first.message_id, (await WordEmbedder().embed(["x"]))[0])]
        )
    embedder = WordEmbedder()
    async with open_local_store(tmp_path / "m.db") as store:
        indexing = asyncio.create_task(Indexer(store, embedder).run())
        assert await settled(store, embedder) == IndexCounts(2, 0)
        indexing.cancel()
    assert [text.split(": ")[1] for text in embedder.attempts] == ["two"]


def test_what_is_embedded_says_who_spoke_and_when():
    message = Unembedded(1, "Ann", "I moved to Oslo", NOW_US)
    assert embedded_text(message) == "Ann (14 November 2023): I moved to Oslo"
    assert len(embedded_text(Unembedded(1, "Ann", "x" * 5000, NOW_US))) == 1000
