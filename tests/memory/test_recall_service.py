"""RecallService over a real gRPC server, with a model whose meanings are known."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1 import recall_service_pb2 as recall
from svckit.errors import from_rpc_error
from tests.memory.chats import (
    DAY_US,
    NOW_US,
    Memories,
    WordEmbedder,
    a_time,
    assistant,
    running,
    user,
)

SAME = {"puppy": "dog", "physician": "doctor"}


@pytest.fixture
async def memories(tmp_path: Path) -> AsyncIterator[Memories]:
    async with running(tmp_path, WordEmbedder(SAME)) as memories:
        yield memories


async def test_a_passage_says_where_it_is_from(memories: Memories):
    await memories.say("c", [user("My puppy is called Rex")], assistant("Fine"), at_us=NOW_US)
    await memories.indexed()
    response = await memories.search("dog called Rex")
    assert response.degraded == ""
    [passage] = response.passages
    assert (passage.conversation_id, passage.conversation_title) == ("c", "My puppy is called Rex")
    assert (passage.role, passage.create_time) == ("user", a_time(NOW_US))
    assert passage.message_id == (await memories.messages("c"))[0].id
    assert passage.lexical_score == pytest.approx(2 / 3)
    assert passage.dense_score == pytest.approx(1.0)
    assert 0 < passage.score <= 1


async def test_what_means_the_same_is_found_without_shared_words(memories: Memories):
    await memories.say("c", [user("My puppy")])
    await memories.say("d", [user("My physician")])
    await memories.indexed()
    assert await memories.found("the dog") == ["My puppy"]


async def test_nothing_relevant_is_an_answer(memories: Memories):
    await memories.say("c", [user("My puppy")])
    await memories.indexed()
    assert list((await memories.search("weather in Oslo tomorrow")).passages) == []


async def test_a_search_finds_its_user_only(memories: Memories):
    await memories.say("c", [user("dog of local")])
    await memories.say("c", [user("dog of bob")], user_id="bob")
    await memories.indexed()
    assert await memories.found("dog") == ["dog of local"]
    assert await memories.found("puppy", user_id="bob") == ["dog of bob"]
    assert await memories.found("puppy", user_id="eve") == []


async def test_answers_made_of_memory_are_stored_but_never_found(memories: Memories):
    await memories.say(
        "c", [user("what about pets?")], assistant("the dog is Rex"), generated_from_memory=True
    )
    await memories.indexed()
    assert await memories.texts("c") == ["what about pets?", "the dog is Rex"]
    for query in ("dog", "the dog is Rex", "puppy Rex"):
        assert await memories.found(query) == []


async def test_what_was_said_often_is_found_once(memories: Memories):
    for n in range(3):
        await memories.say(f"c{n}", [user("My puppy is Rex!")], at_us=NOW_US - n)
    await memories.indexed()
    [passage] = (await memories.search("Rex")).passages
    assert passage.conversation_id == "c2"


async def test_a_deleted_conversation_is_not_found_by_meaning(memories: Memories):
    await memories.say("c", [user("My puppy")])
    await memories.indexed()
    assert await memories.found("dog") == ["My puppy"]
    request = conversation.DeleteConversationRequest(conversation_id="c")
    await memories.conversations.DeleteConversation(request)
    assert await memories.found("dog") == []
    assert (await memories.status()).indexed_count == 0


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (recall.SearchFilter(exclude_conversation_id="c"), ["dog later"]),
        (recall.SearchFilter(conversation_id="c"), ["dog", "dog answered"]),
        (recall.SearchFilter(roles=["assistant"]), ["dog answered"]),
        (recall.SearchFilter(project="p"), ["dog later"]),
        (recall.SearchFilter(start_time=a_time(NOW_US + 1)), ["dog later"]),
        (recall.SearchFilter(end_time=a_time(NOW_US + 1)), ["dog", "dog answered"]),
    ],
    ids=["exclude", "conversation", "roles", "project", "start", "end"],
)
async def test_filters_narrow(memories: Memories, where: recall.SearchFilter, found: list[str]):
    await memories.say("c", [user("dog")], assistant("dog answered"), at_us=NOW_US)
    await memories.say("d", [user("dog later")], at_us=NOW_US + DAY_US, project="p")
    await memories.indexed()
    assert sorted(await memories.found("puppy dog", filter=where)) == found


async def test_the_limit_is_kept(memories: Memories):
    await memories.say("c", [user(f"dog number {n}") for n in range(15)])
    await memories.indexed()
    assert len(await memories.found("dog")) == 10
    assert len(await memories.found("dog", limit=12)) == 12


@pytest.mark.parametrize(
    "query", ['"', "NOT", "a OR", "dog*", "x' --", "{}[]()^:", "\x00dog", "犬 \u200b", "?" * 9999]
)
async def test_no_query_is_an_error(memories: Memories, query: str):
    await memories.say("c", [user("my dog")])
    await memories.indexed()
    assert set(await memories.found(query)) <= {"my dog"}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"query": " \n"}, "query"),
        ({"query": "x", "limit": -1}, "limit"),
        ({"query": "x", "user_id": "u" * 257}, "user_id"),
        (
            {
                "query": "x",
                "filter": recall.SearchFilter(start_time=a_time(2), end_time=a_time(1)),
            },
            "filter.end_time",
        ),
    ],
    ids=["query", "limit", "user", "times"],
)
async def test_bad_fields_are_named(memories: Memories, request_: dict[str, Any], field: str):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await memories.recall.Search(recall.SearchRequest(**request_))
    error = from_rpc_error(caught.value, "memory")
    assert (error.reason, error.metadata) == ("INVALID_FIELD", {"field": field})


async def test_what_an_ended_process_left_is_indexed_by_the_next(tmp_path: Path):
    async with running(tmp_path) as memories:
        await memories.say("c", [user("My puppy")])
        status = await memories.status()
        assert (status.model_state, status.pending_count) == ("off", 1)
        assert await memories.found("dog") == []
    async with running(tmp_path, WordEmbedder(SAME)) as memories:
        status = await memories.indexed()
        assert (status.model, status.indexed_count) == ("words", 1)
        assert await memories.found("dog") == ["My puppy"]
