"""How messages get their vectors: in the background, through failures and restarts."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from memory_svc.ingest import Indexer, embedded_text
from memory_svc.model import IndexCounts, Line, Turn, Unembedded, VectorKind
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
        why = "cannot stomach poison"
        assert await settled(store, embedder) == IndexCounts(2, 0, failed=1, failure=why)
        indexing.cancel()
        alone = [text for text in embedder.attempts if text == "poison"]
        # Each attempt is made among others first, then by itself.
        assert len(alone) == 6


async def test_a_killed_process_leaves_its_queue_to_the_next(tmp_path: Path):
    async with open_local_store(tmp_path / "m.db") as store:
        await say(store, "a", "one", "two")
        done = [each for each in await store.unembedded(9) if each.line.text == "one"]
        vectors = await WordEmbedder().embed(["x", "y"])
        await store.put_vectors("words", list(zip(done, vectors, strict=True)))
    embedder = WordEmbedder()
    async with open_local_store(tmp_path / "m.db") as store:
        indexing = asyncio.create_task(Indexer(store, embedder).run())
        assert await settled(store, embedder) == IndexCounts(2, 0)
        indexing.cancel()
    assert embedder.attempts == ["two", "user: one\nuser: two"]


ANN, BOB = Line("Ann", "I moved to Oslo"), Line("Bob", "Why?")


def test_a_message_alone_is_embedded_as_it_stands():
    assert embedded_text(Unembedded(1, VectorKind.ALONE, ANN)) == "I moved to Oslo"


def test_a_window_is_embedded_as_a_dialogue():
    window = Unembedded(1, VectorKind.WINDOW, ANN, after_id=2, after=BOB)
    assert embedded_text(window) == "Ann: I moved to Oslo\nBob: Why?"
    both = replace(window, before_id=2, before=BOB)
    assert embedded_text(both) == "Bob: Why?\nAnn: I moved to Oslo\nBob: Why?"


def test_long_texts_are_cut_and_neighbours_leave_room():
    long = Line("Ann", "word " * 500)
    assert embedded_text(Unembedded(1, VectorKind.ALONE, long)).split() == ["word"] * 150
    window = Unembedded(1, VectorKind.WINDOW, BOB, before_id=2, before=long)
    assert len(embedded_text(window).split()) == 41 + 2


@pytest.mark.parametrize(
    ("text", "embedded"),
    [
        ("Use this:\n```py\nx = 1\n```\nand run it", "Use this: and run it"),
        ("See data:image/png;base64," + "A" * 100 + " above", "See above"),
        ("```py\nx = 1\n```", "```py x = 1 ```"),
        ("unfinished ```x = 1", "unfinished"),
    ],
    ids=["code", "blob", "only code", "open fence"],
)
def test_code_and_blobs_are_left_out_unless_there_is_nothing_else(text: str, embedded: str):
    assert embedded_text(Unembedded(1, VectorKind.ALONE, Line("Ann", text))) == embedded
