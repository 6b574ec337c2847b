"""The queue of vectors to make: what fails, what hangs, what changes, and what it never blocks."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from lair.memory.v1.memory_service_pb2 import MessageIds
from memory_svc import ingest
from memory_svc.embedding.base import EmbeddingError
from memory_svc.model import Vector
from tests.memory.chats import Memories, WordEmbedder, running, user


class HaltingEmbedder(WordEmbedder):
    """Embeds what there is to find only as far as it is let; questions at once."""

    def __init__(self, model: str = "words") -> None:
        super().__init__(model=model)
        self.slices = asyncio.Semaphore(0)
        self.waits = asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Vector:
        self.waits.set()
        await self.slices.acquire()
        return await super().embed(texts)

    async def embed_query(self, text: str) -> Vector:
        return (await super().embed([text]))[0]


class BrokenEmbedder(WordEmbedder):
    """Embeds nothing while it is `broken`."""

    broken = True

    async def embed(self, texts: Sequence[str]) -> Vector:
        self.attempts += texts
        if self.broken:
            raise EmbeddingError("no memory left")
        return await super().embed(texts)


async def tell(memories: Memories, *texts: str) -> None:
    for n, text in enumerate(texts):
        await memories.say(f"c{n}", [user(text)])


async def test_what_cannot_be_embedded_is_set_aside_with_its_error(tmp_path: Path):
    embedder = WordEmbedder()
    async with running(tmp_path, embedder) as memories:
        await tell(memories, "the poison ivy", "a red door", "a teal door")
        status = await memories.indexed()
        assert (status.indexed_count, status.failed_count) == (2, 1)
        assert status.failure == "cannot stomach poison"
        assert await memories.found("ivy") == ["the poison ivy"]
        assert await memories.found("teal", channels=["meaning"]) == ["a teal door"]
        tried = embedder.attempts.count("the poison ivy")
        await tell(memories, "a gold door")
        await memories.indexed()
        assert embedder.attempts.count("the poison ivy") == tried
    async with running(tmp_path, WordEmbedder()) as memories:
        assert (await memories.indexed()).failed_count == 1


async def test_what_has_no_vector_is_found_beside_what_means_the_same(tmp_path: Path):
    embedder = WordEmbedder({"hedera": "ivy", "creeper": "ivy", "climber": "ivy"})
    async with running(tmp_path, embedder) as memories:
        await tell(memories, "poison ivy", "hedera", "creeper", "climber", "ivy on walls")
        await memories.indexed()
        assert set(await memories.found("ivy")) >= {"poison ivy", "ivy on walls", "hedera"}


async def test_three_attempts_are_made_and_counted(tmp_path: Path):
    async with running(tmp_path, WordEmbedder()) as memories:
        await tell(memories, "poison")
        await memories.indexed()
    with closing(sqlite3.connect(tmp_path / "memory" / "memory.db")) as database:
        rows = database.execute("select kind, attempts, model, error from unembedded").fetchall()
    why = (3, "words", "cannot stomach poison")
    assert rows == [(0, *why), (1, *why)]


async def test_what_one_model_could_not_embed_another_tries(tmp_path: Path):
    async with running(tmp_path, WordEmbedder()) as memories:
        await tell(memories, "poison ivy")
        await memories.indexed()

    class Hardy(WordEmbedder):
        async def embed(self, texts: Sequence[str]) -> Vector:
            return await super().embed([text.replace("poison", "venom") for text in texts])

    async with running(tmp_path, Hardy(model="hardy")) as memories:
        async with asyncio.timeout(10):
            while (await memories.status()).indexed_count == 0:
                pass  # asking lets the indexer work
        status = await memories.indexed()
        assert (status.indexed_count, status.failed_count, status.failure) == (1, 0, "")
        assert await memories.found("venom", channels=["meaning"]) == ["poison ivy"]


async def test_a_model_that_fails_at_everything_gives_no_text_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ingest, "_PAUSE_SECONDS", 0.01)
    embedder = BrokenEmbedder()
    async with running(tmp_path, embedder) as memories:
        await tell(memories, "a red door", "a teal door")
        while len(embedder.attempts) < 40:
            assert (await memories.status()).pending_count == 2
        embedder.broken = False
        status = await memories.indexed()
        assert (status.indexed_count, status.failed_count) == (2, 0)


async def test_what_a_deletion_leaves_between_others_is_embedded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ingest, "_LOOK_SECONDS", 0.01)
    embedder = WordEmbedder()
    async with running(tmp_path, embedder) as memories:
        await memories.say("c", [user("red"), user("teal"), user("gold")])
        await memories.indexed()
        [_, teal, _] = await memories.messages("c")
        assert (await memories.forget(messages=MessageIds(ids=[teal.id]))).message_count == 1
        await memories.indexed()
        assert embedder.attempts[-2:] == ["user: red\nuser: gold"] * 2


async def test_nobody_waits_for_a_model_that_hangs(tmp_path: Path):
    embedder = HaltingEmbedder()
    async with running(tmp_path, embedder) as memories:
        await tell(memories, "a red door")
        await embedder.waits.wait()
        await memories.say("d", [user("a teal door")])
        assert await memories.texts("d") == ["a teal door"]
        assert await memories.found("teal", channels=["words"]) == ["a teal door"]
        found = await memories.search("teal")
        assert [each.text for each in found.passages] == ["a teal door"]
        assert found.degraded == "meaning: only 0% of the memory is embedded by now"
        assert (await memories.status()).pending_count == 2


async def test_another_model_embeds_everything_anew_while_words_are_found(tmp_path: Path):
    told = [f"a {colour} door" for colour in ("red", "teal", "gold", "blue", "grey", "pink")]
    async with running(tmp_path, WordEmbedder()) as memories:
        await tell(memories, *told)
        await memories.indexed()
        assert (await memories.search("gold")).degraded == ""
    embedder = HaltingEmbedder("other words")
    async with running(tmp_path, embedder) as memories:
        await embedder.waits.wait()
        status = await memories.status()
        assert (status.model, status.indexed_count, status.pending_count) == ("other words", 0, 6)
        found = await memories.search("gold")
        assert [each.text for each in found.passages] == ["a gold door"]
        assert found.degraded == "meaning: only 0% of the memory is embedded by now"
        recalled = await memories.recalled("where is the gold door?")
        assert [each.text for each in recalled.passages] == ["a gold door"]
        assert recalled.degraded == found.degraded
        for _ in range(9):
            embedder.slices.release()
        assert (await memories.indexed()).indexed_count == 6
        assert (await memories.search("gold")).degraded == ""
        assert await memories.found("gold", channels=["meaning"]) == ["a gold door"]
    with closing(sqlite3.connect(tmp_path / "memory" / "memory.db")) as database:
        models = database.execute(
            "select distinct name from vector join embedding_model on key = model"
        ).fetchall()
    assert models == [("other words",)]
