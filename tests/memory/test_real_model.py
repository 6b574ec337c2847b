"""What the default embedding model finds, and what it does not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from memory_svc.embedding.sentence import SentenceEmbedder
from tests.memory.chats import Memories, assistant, running, user

# The export that comes first takes a while on a busy machine.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def memories(
    tmp_path_factory: pytest.TempPathFactory, models: Path
) -> AsyncIterator[Memories]:
    folder: Path = tmp_path_factory.mktemp("memory")
    async with running(folder, SentenceEmbedder("all-MiniLM-L6-v2", models)) as memories:
        await memories.say(
            "pets",
            [user("My puppy keeps chewing on the furniture.")],
            assistant("Try giving it a rubber toy."),
        )
        await memories.say("work", [user("The quarterly report is due on Friday.")])
        await memories.say("other", [user("My cat destroyed the new sofa.")], user_id="bob")
        await memories.say(
            "made",
            [user("Tell me about training animals")],
            assistant("Your young dog bites tables and chairs."),
            generated_from_memory=True,
        )
        async with asyncio.timeout(90):
            await memories.indexed()
        yield memories


async def test_a_paraphrase_without_shared_words_is_found(memories: Memories):
    response = await memories.search("young dog bites tables and chairs")
    assert response.degraded == ""
    best = response.passages[0]
    assert best.text == "My puppy keeps chewing on the furniture."
    assert best.lexical_score == 0
    assert best.dense_score > 0.35


async def test_another_users_memory_is_not_found(memories: Memories):
    of_bob = "My cat destroyed the new sofa."
    assert of_bob not in await memories.found("cat destroyed sofa")
    assert await memories.found("cat destroyed sofa", user_id="bob") == [of_bob]


async def test_an_unrelated_question_finds_nothing(memories: Memories):
    response = await memories.search("What is the capital of Mongolia?")
    assert list(response.passages) == []
    assert response.degraded == ""


async def test_an_answer_made_of_memory_is_not_found(memories: Memories):
    assert "Your young dog bites tables and chairs." not in await memories.found(
        "Your young dog bites tables and chairs."
    )


async def test_everything_searchable_is_indexed(memories: Memories):
    status = await memories.status()
    assert (status.model, status.model_state) == ("all-MiniLM-L6-v2@int8", "ready")
    assert (status.indexed_count, status.pending_count) == (5, 0)
