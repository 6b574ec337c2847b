"""What stands in the middle of a long message is found, by words and by meaning."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from lair.memory.v1 import memory_service_pb2 as keeping
from lair.memory.v1 import recall_service_pb2 as recall
from memory_svc.model import Vector
from tests.memory.chats import Memories, WordEmbedder, running, user

FILLER = "The committee met again and nothing much was decided before lunch. "
FACT = "My physician moved to Rotterdam. "
LONG = FILLER * 135 + FACT + FILLER * 135


class TopicEmbedder(WordEmbedder):
    """Understands what a text is about as soon as it names it."""

    topics = ("physician", "doctor"), ("brother", "sibling")

    def _vector(self, text: str) -> Vector:
        for place, names in enumerate(self.topics):
            if any(name in text for name in names):
                return np.eye(256, dtype=np.float32)[place]
        return super()._vector(text)


@pytest.fixture
async def memories(tmp_path: Path) -> AsyncIterator[Memories]:
    async with running(tmp_path, TopicEmbedder()) as memories:
        for n in range(20):
            await memories.say(f"c{n}", [user(f"About the weather, number {n}, as ever")])
        await memories.say("long", [user(LONG)])
        await memories.indexed()
        yield memories


async def found(memories: Memories, query: str, channel: str) -> list[str]:
    response = await memories.search(query, channels=[channel])
    return [passage.conversation_id for passage in response.passages]


async def correct(memories: Memories, text: str) -> None:
    [message] = await memories.messages("long")
    request = keeping.CorrectMessageRequest(message_id=message.id, text=text)
    await memories.keeping.CorrectMessage(request)
    await memories.indexed()


async def test_a_fact_in_the_middle_is_found(memories: Memories):
    assert len(LONG.split()) > 2900
    assert await found(memories, "physician in Rotterdam", "words") == ["long"]
    assert await found(memories, "where is the doctor", "meaning") == ["long"]
    assert await found(memories, "where is the doctor", "words") == []


async def test_filters_hold_for_parts(memories: Memories):
    where = recall.SearchFilter(exclude_conversation_id="long")
    assert await memories.found("where is the doctor", filter=where) == []


async def test_a_corrected_message_is_found_by_its_new_text_alone(memories: Memories):
    await correct(memories, FILLER * 25 + "My brother moved to Bergen. " + FILLER * 25)
    assert await found(memories, "where is the doctor", "meaning") == []
    assert await found(memories, "which sibling moved", "meaning") == ["long"]
    await correct(memories, "short")
    assert await found(memories, "which sibling moved", "meaning") == []


async def test_parts_are_embedded_anew_by_another_model(tmp_path: Path):
    async with running(tmp_path, WordEmbedder(model="one")) as memories:
        await memories.say("long", [user(LONG)])
        await memories.indexed()
        assert await found(memories, "where is the doctor", "meaning") == []
    async with running(tmp_path, TopicEmbedder(model="two")) as memories:
        while not (await memories.indexed()).indexed_count:
            pass  # it is ready before it knows what there is to do
        assert await found(memories, "where is the doctor", "meaning") == ["long"]
