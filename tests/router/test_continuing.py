"""Chats that continue an earlier answer by its request, with the real memory behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import Message
from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1.conversation_pb2 import StoredTurn
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.metrics.v1.usage_pb2 import STATUS_INVALID_REQUEST
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_RECALL,
    MEMORY_POLICY_STORE,
    ChatCall,
)
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from memory_svc.main import open_service
from router_svc import remembering
from svckit.grpc_server import Servicers
from svckit.inprocess import InProcessChannel
from svckit.settings import Memory, Settings
from tests.fakes.answers import chunk, greeting, stream
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, both_ways, events, failure, say, user


class RealMemory:
    """The service itself in the place of the scripted one."""

    def __init__(self, servicers: Servicers) -> None:
        self._servicers = servicers
        self.conversations = ConversationServiceStub(InProcessChannel(servicers))

    def servicers(self) -> Servicers:
        return self._servicers

    async def turn(self, request_id: str) -> StoredTurn:
        request = conversation.GetTurnRequest(user_id="ann", request_id=request_id)
        return (await self.conversations.GetTurn(request, timeout=5)).turn


@pytest.fixture
async def remembering_world(world: World) -> AsyncIterator[World]:
    """Give a world with the real memory."""
    settings = Settings(data_dir=world.data_dir, memory=Memory(index=False))
    async with AsyncExitStack() as stack:
        servicers = await stack.enter_async_context(open_service(settings))
        world.memory = RealMemory(servicers)  # type: ignore[assignment]  # it is asked for its servicers only
        yield world


@pytest.fixture
async def memory(remembering_world: World) -> RealMemory:
    return remembering_world.memory  # type: ignore[return-value]  # put there above


@pytest.fixture
async def router(
    remembering_world: World, server: OpenAIServer
) -> AsyncIterator[RouterServiceStub]:
    """Give a router over the one backend `a`, and the real memory."""
    async with remembering_world.router(server) as stub:
        yield stub


def after(asked: str, *texts: str, policy: int = MEMORY_POLICY_STORE, **fields: Any):
    call = asking(*texts, conversation="c", policy=policy, **fields)
    call.memory.after_request_id = asked
    return call


def contents(server: OpenAIServer) -> list[str]:
    """Return the texts of the messages that the server got last."""
    return [message["content"] for message in server.received[-1].body["messages"]]


@both_ways
async def test_an_answer_just_given_is_continued(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    await say(router, asking("one", conversation="c", request_id="r1"), streamed=streamed)
    await say(router, after("r1", "two", request_id="r2"), streamed=streamed)
    assert contents(server) == ["one", "Hello there", "two"]
    response = await answer(router, after("r2", "three"))
    assert contents(server) == ["one", "Hello there", "two", "Hello there", "three"]
    assert response.memory.history_count == 4


async def test_continuing_an_earlier_answer_begins_a_branch_and_moves_the_active_path(
    router: RouterServiceStub, server: OpenAIServer, memory: RealMemory
) -> None:
    await answer(router, asking("one", conversation="c", request_id="r1"))
    await answer(router, asking("two", conversation="c", request_id="r2"))
    await answer(router, after("r1", "other", request_id="r3"))
    assert contents(server) == ["one", "Hello there", "other"]
    await answer(router, asking("and?", conversation="c", request_id="r4"))
    assert contents(server) == ["one", "Hello there", "other", "Hello there", "and?"]
    await answer(router, after("r2", "more", request_id="r5"))
    assert contents(server) == ["one", "Hello there", "two", "Hello there", "more"]
    stored = [m.message.text for m in (await memory.turn("r3")).input]
    assert stored == ["other"]


async def test_an_answer_among_the_new_messages_does_not_keep_the_past_away(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    await answer(router, asking("one", conversation="c", request_id="r1"))
    call = after("r1", messages=[Message(role="assistant", text="go on"), user("two")])
    await answer(router, call)
    assert contents(server) == ["one", "Hello there", "go on", "two"]


@pytest.mark.parametrize(
    "fields",
    [{"policy": MEMORY_POLICY_OFF}, {"policy": MEMORY_POLICY_RECALL}, {"untraced": True}],
    ids=["off", "recall", "untraced"],
)
async def test_what_is_not_kept_is_continued_all_the_same(
    remembering_world: World,
    router: RouterServiceStub,
    server: OpenAIServer,
    memory: RealMemory,
    fields: dict[str, Any],
) -> None:
    await answer(router, asking("one", conversation="c", request_id="r1"))
    call = after("r1", "two", request_id="r2", **fields)
    call.memory.record_json = b'{"secret":1}'
    response = await answer(router, call)
    assert contents(server) == ["one", "Hello there", "two"]
    assert response.memory.history_count == 2
    assert b"secret" not in remembering_world.journal("turns")
    error = await failure(memory.turn("r2"))
    assert error.reason == "TURN_NOT_FOUND"


async def test_what_was_asked_is_found_again_with_its_record_and_every_answer(
    router: RouterServiceStub, server: OpenAIServer, memory: RealMemory
) -> None:
    ends = [chunk(finish="stop"), chunk(finish="stop", index=1)]
    server.script(stream(chunk("a"), chunk("b", index=1), *ends))
    messages = [Message(role="system", text="s"), user("one")]
    call = asking(messages=messages, conversation="c", request_id="r1", n=2, endpoint="/v1/x")
    call.memory.record_json = b'{"metadata": {"k": "v"}}'
    await events(router, call)
    server.script(greeting)
    await answer(router, asking("later", conversation="c"))  # waits for the first turn
    turn = await memory.turn("r1")
    assert [stored.message for stored in turn.input] == messages
    assert (turn.reply.message.text, turn.reply.model) == ("a", "tiny")
    assert [reply.text for reply in turn.other_replies] == ["b"]
    assert (turn.endpoint, turn.record_json) == ("/v1/x", b'{"metadata": {"k": "v"}}')


# -- what cannot be continued --------------------------------------------------


@both_ways
async def test_an_answer_that_is_not_kept_is_the_clients_mistake(
    remembering_world: World, router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    await answer(router, asking("one", conversation="c", request_id="r1"))
    error = await failure(say(router, after("r0", "two"), streamed=streamed))
    assert (error.reason, error.metadata) == ("TURN_NOT_FOUND", {"request_id": "r0"})
    assert len(server.received) == 1
    assert (await remembering_world.metrics.record(1)).status == STATUS_INVALID_REQUEST


async def test_another_users_or_conversations_answer_is_not_found(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    await answer(router, asking("one", conversation="c", request_id="r1"))
    of_bob = after("r1", "two")
    of_bob.caller.user_id = "bob"
    elsewhere = after("r1", "two")
    elsewhere.memory.conversation_id = "d"
    for call in (of_bob, elsewhere):
        assert (await failure(answer(router, call))).reason == "TURN_NOT_FOUND"
    assert len(server.received) == 1


async def test_hints_that_cannot_be_followed_are_named(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    nowhere = after("r1", "two")
    nowhere.memory.conversation_id = ""
    large = asking("hi", conversation="c")
    large.memory.record_json = b'{"x":"' + b"x" * 256 * 1024 + b'"}'
    cases: list[tuple[ChatCall, str]] = [
        (nowhere, "memory.conversation_id"),
        (large, "memory.record_json"),
    ]
    for call, field in cases:
        error = await failure(answer(router, call))
        assert (error.reason, error.metadata) == ("INVALID_FIELD", {"field": field})
    assert not server.received


async def test_where_memory_is_off_nothing_can_be_continued(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server, memory={"enabled": False}) as router:
        error = await failure(answer(router, after("r1", "two")))
    assert error.reason == "TURN_NOT_FOUND"
    assert "memory.enabled" in error.message
    assert not server.received


async def test_without_memory_an_answer_is_not_continued_as_if_it_were_the_first(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server) as router:
        world.memory.state.down = True
        error = await failure(answer(router, after("r1", "two")))
    assert (error.reason, error.metadata) == ("SERVICE_UNAVAILABLE", {"service": "memory"})
    assert not server.received


async def test_a_late_memory_is_waited_for_longer_and_then_told(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "_PATIENCE_SECONDS", 0.5)
    async with world.router(server, router={"memory_timeout_ms": 1}) as router:
        world.memory.state.ready.clear()
        asked = asyncio.create_task(failure(answer(router, after("r1", "two"))))
        await world.memory.state.held.wait()
        error = await asked
        assert error.reason == "SERVICE_UNAVAILABLE"
        assert not server.received
        world.memory.state.ready.set()
