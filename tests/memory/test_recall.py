"""Recall over a real gRPC server: what goes into a prompt, and what is told of it later."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1 import recall_service_pb2 as recall
from memory_svc.embedding.base import ModelStatus
from svckit.errors import from_rpc_error
from tests.memory.chats import (
    DAY_US,
    NOW_US,
    Memories,
    StuckEmbedder,
    WordEmbedder,
    assistant,
    running,
    user,
)


@pytest.fixture
async def memories(tmp_path: Path) -> AsyncIterator[Memories]:
    async with running(tmp_path, WordEmbedder({"puppy": "dog"})) as memories:
        yield memories


async def recalled(
    memories: Memories, *said: str, own: str = "now", **request: Any
) -> recall.RecallResponse:
    """Recall for a user who says these things in the conversation `own`."""
    return await memories.recall.Recall(
        recall.RecallRequest(
            messages=[user(text) for text in said],
            filter=recall.SearchFilter(exclude_conversation_id=own),
            **request,
        ),
        timeout=10,
    )


async def explained(memories: Memories, request_id: str, user_id: str = "") -> Any:
    request = recall.ExplainRequest(user_id=user_id, request_id=request_id)
    return await memories.recall.Explain(request, timeout=10)


async def unknown(memories: Memories, request_id: str, user_id: str = "") -> bool:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await explained(memories, request_id, user_id)
    error = from_rpc_error(caught.value, "memory")
    return (error.reason, error.metadata) == ("TURN_NOT_FOUND", {"request_id": request_id})


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# -- what goes into a prompt ---------------------------------------------------


async def test_what_was_said_elsewhere_is_quoted_with_its_day_and_conversation(
    memories: Memories,
):
    await memories.say("pets", [user("My puppy is Rex")], assistant("Fine"), at_us=NOW_US)
    await memories.indexed()
    response = await recalled(memories, "What is the name of my dog?")
    assert response.passages[0].text == "My puppy is Rex"
    assert response.passages[0].score > 0
    lead = '\n- Tuesday 2023-11-14, conversation "pets", the user said:\n  > My puppy is Rex\n'
    assert lead in response.context
    assert response.degraded == ""


async def test_the_conversation_itself_is_left_out(memories: Memories):
    await memories.say("now", [user("My puppy is Rex")])
    await memories.indexed()
    assert (await recalled(memories, "my dog?")).context == ""
    assert "Rex" in (await recalled(memories, "my dog?", own="other")).context


async def test_nothing_relevant_recalls_nothing(memories: Memories):
    await memories.say("pets", [user("My puppy is Rex")])
    await memories.indexed()
    response = await recalled(memories, "Will it rain in Oslo tomorrow?")
    assert response == recall.RecallResponse()


async def test_a_greeting_recalls_nothing(memories: Memories):
    await memories.say("pets", [user("hello dog")])
    await memories.indexed()
    assert await recalled(memories, "Hello!") == recall.RecallResponse()


async def test_another_user_is_never_recalled(memories: Memories):
    await memories.say("pets", [user("My puppy is Rex")], user_id="ann")
    await memories.indexed()
    assert "Rex" in (await recalled(memories, "my dog?", user_id="ann")).context
    for other in ("bob", ""):
        assert await recalled(memories, "my dog?", user_id=other) == recall.RecallResponse()


async def test_a_follow_up_is_understood_by_the_turn_before(memories: Memories):
    await memories.say("pets", [user("The vaccination of Rex cost ninety euros")])
    await memories.indexed()
    response = await recalled(memories, "I think about the vaccination of Rex", "And its cost?")
    assert "ninety euros" in response.context


async def test_what_a_prompt_says_already_is_not_recalled(memories: Memories):
    await memories.say("pets", [user("My puppy is Rex")])
    await memories.indexed()
    assert (await recalled(memories, "My puppy is Rex", "What was my dog's name?")).context == ""


async def test_at_most_as_many_passages_as_are_configured(tmp_path: Path):
    async with running(tmp_path, WordEmbedder(), context_limit=2) as memories:
        for n in range(5):
            await memories.say(f"c{n}", [user(f"dog number {n}")])
        await memories.indexed()
        response = await recalled(memories, "dog?")
    assert len(response.passages) == response.context.count("\n- ") == 2


async def test_the_budget_is_the_requests_or_the_configured_one(tmp_path: Path):
    async with running(tmp_path, WordEmbedder(), recall_tokens=300) as memories:
        await memories.say("c", [user("dog food and more. " * 500)])
        await memories.indexed()
        sizes = [
            len((await recalled(memories, "dog?", token_budget=budget)).context)
            for budget in (0, 150, 10)
        ]
    assert 700 < sizes[0] <= 1050
    assert 300 < sizes[1] <= 525
    assert sizes[2] == 0


async def test_a_budget_below_nothing_is_refused(memories: Memories):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await recalled(memories, "x", token_budget=-1)
    assert from_rpc_error(caught.value, "memory").metadata == {"field": "token_budget"}


async def test_without_a_model_words_are_searched_and_the_answer_says_so(tmp_path: Path):
    async with running(tmp_path, StuckEmbedder(ModelStatus("loading"))) as memories:
        await memories.say("pets", [user("My dog is Rex")])
        response = await recalled(memories, "dog?")
    assert "Rex" in response.context
    assert response.degraded == "meaning: the embedding model is loading"


# -- no loops ------------------------------------------------------------------


async def test_what_was_recalled_is_neither_stored_nor_found_again(memories: Memories):
    await memories.say("pets", [user("My puppy is Rex")], at_us=NOW_US)
    await memories.indexed()
    context = (await recalled(memories, "my dog?")).context
    sent_back, quoted = user(f"{context}\n\nmy dog?"), assistant(f"You sent:\n{context}\nRex.")
    await memories.say("now", [sent_back], quoted, at_us=NOW_US + 1)
    await memories.indexed()
    assert await memories.texts("now") == ["my dog?", "You sent:\nRex."]
    assert await memories.found("Quotes from earlier conversations found by a search") == []
    again = await recalled(memories, "my dog?", own="next")
    assert again.context.count("puppy") == 1
    assert again.context.count("lair-memory") == 2


# -- why -----------------------------------------------------------------------


async def test_a_recall_is_explained(memories: Memories):
    for n in range(5):
        await memories.say(f"c{n}", [user(f"dog number {n}")], at_us=NOW_US + n * DAY_US)
    await memories.indexed()
    response = await recalled(memories, "which dog?", request_id="r")
    told = await explained(memories, "r")
    assert told.query == "which dog?"
    assert told.context == response.context
    assert len(told.candidates) == 5
    assert list(told.candidates[:3]) == list(response.passages)
    scores = [candidate.score for candidate in told.candidates]
    assert scores == sorted(scores, reverse=True)


async def test_a_recall_that_found_nothing_is_explained_as_well(memories: Memories):
    await recalled(memories, "which dog?", request_id="r")
    told = await explained(memories, "r")
    assert (told.query, list(told.candidates), told.context) == ("which dog?", [], "")


async def test_a_recall_is_explained_to_its_user_alone(memories: Memories):
    await recalled(memories, "which dog?", request_id="r", user_id="ann")
    assert (await explained(memories, "r", "ann")).query == "which dog?"
    for other in ("bob", ""):
        assert await unknown(memories, "r", other)


async def test_a_recall_without_a_request_leaves_nothing(memories: Memories, tmp_path: Path):
    await memories.say("pets", [user("My dog is Rex")])
    await recalled(memories, "which zebra?")
    await recalled(memories, "which dog?", request_id="s")
    assert (await explained(memories, "s")).query == "which dog?"
    assert b"which dog" in all_bytes(tmp_path)
    assert await unknown(memories, "r")
    assert b"zebra" not in all_bytes(tmp_path)


async def test_what_was_noted_last_survives_the_end_of_the_process(tmp_path: Path):
    async with running(tmp_path, WordEmbedder()) as memories:
        await recalled(memories, "which dog?", request_id="r")
    async with running(tmp_path, WordEmbedder()) as memories:
        assert (await explained(memories, "r")).query == "which dog?"


async def test_what_is_deleted_is_quoted_by_no_explanation(memories: Memories):
    await memories.say("pets", [user("My puppy is Rex")])
    await memories.say("fear", [user("I fear every dog")])
    await memories.indexed()
    await recalled(memories, "which dog?", request_id="r")
    assert "Rex" in (await explained(memories, "r")).context
    delete = conversation.DeleteConversationRequest(conversation_id="pets")
    await memories.conversations.DeleteConversation(delete)
    told = await explained(memories, "r")
    assert [candidate.text for candidate in told.candidates] == ["I fear every dog"]
    assert "Rex" not in told.context
    assert "I fear every dog" in told.context


async def test_a_recalled_question_comes_with_its_answer(memories: Memories):
    await memories.say("c", [user("Which puppy food is good?")], assistant("Barkington's, mixed"))
    await memories.say("d", [user("Our puppy sleeps a lot")], assistant("Let it rest"))
    await memories.indexed()
    response = await recalled(memories, "which dog food did you suggest?")
    assert "Barkington's" in response.context
    said = [passage.text for passage in response.passages]
    assert said[said.index("Which puppy food is good?") + 1] == "Barkington's, mixed"
    assert said.count("Barkington's, mixed") == 1


async def test_an_answer_that_must_not_be_found_is_not_recalled(memories: Memories):
    await memories.say("c", [user("Which puppy food is good?")], assistant("Barkington's"))
    await memories.indexed()
    only = recall.SearchFilter(roles=["user"])
    response = await memories.recall.Recall(
        recall.RecallRequest(messages=[user("my dog food?")], filter=only), timeout=10
    )
    assert [passage.text for passage in response.passages] == ["Which puppy food is good?"]
