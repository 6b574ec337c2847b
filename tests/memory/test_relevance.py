"""With the default model: what needs no memory recalls none, and what does finds it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lair.common.v1.chat_pb2 import Message
from lair.memory.v1 import recall_service_pb2 as recall
from memory_svc.embedding.sentence import SentenceEmbedder
from tests.memory.chats import Memories, assistant, running, user

CHATS = (
    ("I started baking sourdough in March, my starter is called Bubbles.", "Lovely name!"),
    ("My sister Ines moved to Lisbon for a job at a bank.", "How exciting for her."),
    ("We adopted a beagle called Pickle from the shelter.", "Congratulations!"),
    ("My knee hurts since the half marathon, so I swim instead.", "Swimming is gentle."),
    ("Our web shop runs on Flask with PostgreSQL, deployed on Fridays.", "A solid choice."),
)


@pytest.fixture
async def memories(tmp_path: Path, models: Path) -> AsyncIterator[Memories]:
    async with running(tmp_path, SentenceEmbedder("all-MiniLM-L6-v2", models)) as memories:
        for n, (said, answer) in enumerate(CHATS):
            await memories.say(f"c{n}", [user(said)], assistant(answer))
        await memories.indexed()
        yield memories


async def recalled(memories: Memories, text: str) -> list[str]:
    request = recall.RecallRequest(messages=[Message(role="user", text=text)])
    response = await memories.recall.Recall(request, timeout=10)
    return [passage.conversation_id for passage in response.passages]


async def test_what_needs_no_memory_recalls_none(memories: Memories):
    for text in (
        "hello",
        "write a python function that sorts a list",
        "what is the capital of France?",
        "How do I undo the last git commit?",
        "thanks, that was very helpful",
    ):
        assert await recalled(memories, text) == [], text


async def test_what_was_told_is_recalled_in_other_words(memories: Memories):
    for text, first in (
        ("What is our dog called?", "c2"),
        ("Where does Ines live now?", "c1"),
        ("Which database does my shop use?", "c4"),
        ("Why did I stop running?", "c3"),
    ):
        assert (await recalled(memories, text))[:1] == [first], text
