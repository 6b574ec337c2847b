"""`lair/recall` quotes the user's own past, and is honest about what it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, Message
from lair.memory.v1.recall_service_pb2 import Passage
from lair.metrics.v1.usage_pb2 import STATUS_OK, STATUS_UPSTREAM_ERROR
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.backends import recall
from router_svc.backends.recall import NOTHING, NOTICE
from router_svc.model import UpstreamError
from svckit.times import to_timestamp
from tests.fakes.frozen_service import MORE_THAN_A_SOCKET_HOLDS, frozen_service
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, both_ways, events, failure, kinds, say

MAY_1ST = 1_777_600_000_000_000


@pytest.fixture
async def alone(world: World) -> AsyncIterator[RouterServiceStub]:
    """Give a router without any server."""
    async with world.router() as stub:
        yield stub


def passage(text: str, role: str = "user", conversation: str = "c1") -> Passage:
    return Passage(
        text=text, role=role, conversation_id=conversation, create_time=to_timestamp(MAY_1ST)
    )


def recalling(question: str, **fields: str) -> ChatCall:
    return asking(question, model="lair/recall", **fields)


@both_ways
async def test_what_was_said_is_quoted_with_date_and_conversation(
    world: World, alone: RouterServiceStub, streamed: bool
) -> None:
    world.memory.passages = [
        passage("My favourite\ncolour is teal."),
        passage("Teal it is.", "assistant", "c2"),
    ]
    text = await say(alone, asking("What is my favourite colour?"), streamed=streamed)
    assert text == (
        "On 2026-05-01 you said: “My favourite colour is teal.” [conversation c1]\n\n"
        "On 2026-05-01 the answer was: “Teal it is.” [conversation c2]\n\n" + NOTICE
    )
    [search] = world.memory.searches
    assert (search.user_id, search.query) == ("ann", "What is my favourite colour?")


@both_ways
async def test_with_nothing_found_it_says_so(alone: RouterServiceStub, streamed: bool) -> None:
    assert await say(alone, asking("Why?"), streamed=streamed) == f"{NOTHING}\n\n{NOTICE}"


@both_ways
async def test_it_says_once_that_it_is_no_language_model(
    world: World, alone: RouterServiceStub, streamed: bool
) -> None:
    world.memory.passages = [passage(f"Fact {number}.") for number in range(9)]
    text = await say(alone, asking("facts"), streamed=streamed)
    assert text.count("not a language model") == 1
    assert text.endswith(NOTICE)


async def test_no_more_is_quoted_than_is_configured(world: World) -> None:
    world.memory.passages = [passage(f"Fact {number}.") for number in range(9)]
    async with world.router(memory={"context_limit": 2}) as router:
        text = await say(router, asking("facts"), streamed=False)
    assert [f"Fact {number}." in text for number in range(3)] == [True, True, False]


async def test_a_question_is_not_answered_with_a_question(
    world: World, alone: RouterServiceStub
) -> None:
    world.memory.passages = [
        passage("What colour do I like?"),
        passage("colours"),
        passage("Teal."),
    ]
    text = await say(alone, asking("Colours"), streamed=False)
    assert text == f"On 2026-05-01 you said: “Teal.” [conversation c1]\n\n{NOTICE}"


async def test_a_long_passage_is_cut(world: World, alone: RouterServiceStub) -> None:
    world.memory.passages = [passage("word " * 1000)]
    text = await say(alone, asking("words"), streamed=False)
    assert "word…” [conversation c1]" in text
    assert len(text) < 900


async def test_the_question_is_the_users_last_text(world: World, alone: RouterServiceStub) -> None:
    parts = [
        ContentPart(type="text", text="What is"),
        ContentPart(type="image_url"),
        ContentPart(type="text", text="this?"),
    ]
    messages = [
        Message(role="user", text="before"),
        Message(role="user", parts=ContentParts(parts=parts)),
        Message(role="assistant", text="behind"),
    ]
    await answer(alone, asking(messages=messages))
    assert world.memory.searches[0].query == "What is\nthis?"


async def test_without_a_question_nothing_is_searched(
    world: World, alone: RouterServiceStub
) -> None:
    text = await say(alone, asking(messages=[Message(role="system", text="s")]), streamed=True)
    assert text == f"{NOTHING}\n\n{NOTICE}"
    assert not world.memory.searches


@both_ways
async def test_its_answers_are_marked_so_that_no_search_finds_them(
    world: World, alone: RouterServiceStub, streamed: bool
) -> None:
    await say(alone, asking("hi", conversation="c"), streamed=streamed)
    turn = await world.memory.turn()
    assert turn.generated_from_memory
    assert (turn.backend, turn.model, turn.finish_reason) == ("lair", "lair/recall", "stop")
    record = await world.metrics.record()
    assert (record.status, record.backend, record.local) == (STATUS_OK, "lair", True)


async def test_its_stream_keeps_the_order_of_events(alone: RouterServiceStub) -> None:
    said = await events(alone, asking("hi"))
    assert kinds(said) == ["started", "delta", "delta", "finish", "completed"]
    assert said[0].started.route.reason == "auto: no LLM server was found"


@both_ways
async def test_without_memory_it_fails_and_says_why(
    world: World, alone: RouterServiceStub, streamed: bool
) -> None:
    world.memory.state.down = True
    error = await failure(say(alone, asking("hi"), streamed=streamed))
    assert error.reason == "SERVICE_UNAVAILABLE"
    assert "memory" in error.message
    assert (await world.metrics.record()).status == STATUS_UPSTREAM_ERROR


async def test_auto_asks_a_server_where_there_is_one(
    world: World, router: RouterServiceStub
) -> None:
    assert (await answer(router, asking("hi"))).route.backend == "a"
    assert not world.memory.searches


async def test_it_answers_beside_servers_where_it_is_named(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    assert (await answer(router, recalling("hi"))).route.backend == "lair"
    assert (await answer(router, asking("hi", backend="lair"))).route.backend == "lair"
    assert len(world.memory.searches) == 2
    assert not server.received


async def test_a_server_that_fails_is_not_replaced_by_recall(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server) as router:
        await server.__aexit__()
        error = await failure(answer(router, asking("hi")))
    assert error.reason == "UPSTREAM_FAILED"
    assert not world.memory.searches


@both_ways
async def test_a_frozen_memory_is_waited_for_no_longer_than_a_search_may_take(
    monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    monkeypatch.setattr(recall, "_SEARCH_SECONDS", 0.3)
    call = recalling("x" * MORE_THAN_A_SOCKET_HOLDS)
    async with frozen_service() as memory, asyncio.timeout(10):
        backend = recall.RecallBackend(memory, passages=3)
        answering = (
            anext(backend.stream(call, "lair/recall"))
            if streamed
            else backend.chat(call, "lair/recall")
        )
        with pytest.raises(UpstreamError) as raised:
            await answering
    assert raised.value.reason == "DEADLINE_EXCEEDED"
