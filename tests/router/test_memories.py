"""What is remembered of a chat, and how it goes on without memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_RECALL,
    MEMORY_POLICY_STORE,
    MemoryOutcome,
)
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import chunk, greeting, stream
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import (
    World,
    answer,
    asking,
    assistant,
    both_ways,
    events,
    failure,
    say,
    user,
)

HISTORY_LEFT_OUT = "memory service down or late: history left out"


def contents(server: OpenAIServer) -> list[str]:
    """Return the texts of the messages that the server got last."""
    return [message["content"] for message in server.received[-1].body["messages"]]


async def outcome(router: RouterServiceStub, call: Any) -> MemoryOutcome:
    return (await answer(router, call)).memory


# -- what is remembered --------------------------------------------------------


@both_ways
async def test_a_turn_holds_what_the_client_sent_and_the_answer(
    world: World, router: RouterServiceStub, streamed: bool
) -> None:
    messages = [Message(role="system", text="s"), user("hi")]
    call = asking(messages=messages, conversation="c", request_id="r0")
    await say(router, call, streamed=streamed)
    turn = await world.memory.turn()
    assert (turn.request_id, turn.conversation_id, turn.caller.user_id) == ("r0", "c", "ann")
    assert list(turn.messages) == messages
    assert turn.reply == assistant("Hello there")
    assert (turn.model, turn.backend, turn.finish_reason) == ("tiny", "a", "stop")
    assert (turn.usage.total_tokens, turn.parent_head) == (7, "")
    assert not turn.generated_from_memory


async def test_history_goes_in_front_and_is_not_stored_again(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    await answer(router, asking("one", conversation="c"))
    messages = [Message(role="system", text="s"), user("two")]
    said = await outcome(router, asking(messages=messages, conversation="c"))
    assert contents(server) == ["s", "one", "Hello there", "two"]
    assert said == MemoryOutcome(conversation_id="c", history_count=2)
    turn = await world.memory.turn(1)
    assert list(turn.messages) == messages
    assert turn.parent_head == "head-1"


async def test_the_second_turn_waits_until_the_first_is_remembered(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    gate = asyncio.Event()
    server.script(stream(gate, chunk("Hello"), chunk(finish="stop")), greeting)
    first = asyncio.create_task(events(router, asking("one", conversation="c")))
    await server.request(0)
    world.memory.state.ready.clear()  # the first turn has its history, and cannot be stored
    gate.set()
    await first
    second = asyncio.create_task(events(router, asking("two", conversation="c")))
    await world.memory.state.held.wait()
    assert len(world.memory.history_requests) == 1
    world.memory.state.ready.set()
    await second
    assert contents(server) == ["one", "Hello", "two"]


async def test_users_do_not_share_a_conversation_of_the_same_name(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    await answer(router, asking("one", conversation="c"))
    call = asking("two", conversation="c")
    call.caller.user_id = "bob"
    await answer(router, call)
    assert contents(server) == ["two"]


async def test_a_client_that_resends_its_history_keeps_one_conversation(
    world: World, router: RouterServiceStub
) -> None:
    first = [user("one")]
    second = [*first, assistant("Hello there"), user("two")]
    for messages in (first, second, [user("another")]):
        await answer(router, asking(messages=messages, policy=MEMORY_POLICY_STORE))
    names = [(await world.memory.turn(number)).conversation_id for number in range(3)]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("conv-")
    assert not world.memory.history_requests


@pytest.mark.parametrize(
    "call",
    [
        asking("hi"),
        asking("hi", conversation="c", policy=MEMORY_POLICY_OFF),
        asking("hi", conversation="c", policy=MEMORY_POLICY_RECALL),
    ],
    ids=["no id", "off", "recall"],
)
async def test_what_is_not_to_be_kept_is_neither_read_nor_kept(
    world: World, router: RouterServiceStub, call: Any
) -> None:
    assert await outcome(router, call) == MemoryOutcome()
    assert not world.journal("turns")
    assert not world.memory.history_requests


@both_ways
async def test_an_untraced_request_leaves_nothing(
    world: World, router: RouterServiceStub, streamed: bool
) -> None:
    await say(router, asking("hi", conversation="c", untraced=True), streamed=streamed)
    assert not world.journal("turns")
    assert not world.journal("records")
    assert not world.memory.history_requests


async def test_a_conversation_id_that_is_too_long_is_refused(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    error = await failure(answer(router, asking("hi", conversation="c" * 257)))
    assert (error.reason, error.metadata) == ("INVALID_FIELD", {"field": "X-Conversation-ID"})
    assert "257" in error.message
    assert not server.received


# -- memory that is off, down or late ------------------------------------------


async def test_memory_switched_off_is_told(world: World, server: OpenAIServer) -> None:
    async with world.router(server, memory={"enabled": False}) as router:
        said = await outcome(router, asking("hi", conversation="c"))
        assert said.degraded == "memory is switched off (memory.enabled)"
        assert not world.journal("turns")


async def test_a_chat_goes_on_without_memory_and_its_turn_is_delivered_later(
    world: World, router: RouterServiceStub
) -> None:
    world.memory.state.down = True
    response = await answer(router, asking("hi", conversation="c"))
    assert response.completion.choices[0].message.text == "Hello there"
    assert response.memory.degraded == HISTORY_LEFT_OUT
    assert not world.memory.turns
    world.memory.state.down = False
    assert (await world.memory.turn()).messages[0].text == "hi"


async def test_a_late_memory_is_not_waited_for(world: World, server: OpenAIServer) -> None:
    async with world.router(server, router={"memory_timeout_ms": 50}) as router:
        world.memory.state.ready.clear()
        for text in ("one", "two"):  # the second finds the first still under way
            said = await outcome(router, asking(text, conversation="c"))
            assert said.degraded == HISTORY_LEFT_OUT
        assert len(world.memory.history_requests) == 1
        world.memory.state.ready.set()
        await world.memory.turn(1)


async def test_other_conversations_do_not_wait_for_one(
    world: World, router: RouterServiceStub
) -> None:
    world.memory.state.down = True
    await answer(router, asking("hi", conversation="c"))
    world.memory.state.down = False
    said = await outcome(router, asking("hi", conversation="d"))
    assert not said.degraded


# -- policies of projects --------------------------------------------------------


@pytest.mark.parametrize(
    ("standing", "asked", "kept", "told"),
    [
        ("off", 0, False, "off: the project's memory policy"),
        ("off", MEMORY_POLICY_STORE, False, "off: the project's memory policy"),
        ("store", 0, True, ""),
        ("recall", MEMORY_POLICY_STORE, True, ""),
        ("recall", 0, False, ""),
        ("store", MEMORY_POLICY_OFF, False, ""),
    ],
)
async def test_a_project_says_what_memory_does_where_the_caller_does_not(
    world: World, server: OpenAIServer, *, standing: str, asked: int, kept: bool, told: str
) -> None:
    projects = {"diary": {"memory_policy": standing}}
    async with world.router(server, projects=projects) as router:
        call = asking("hi", conversation="c", policy=asked)
        call.caller.project = "diary"
        assert (await outcome(router, call)).degraded == told
        assert bool(world.journal("turns")) == kept
        call.caller.project = "work"
        assert (await outcome(router, call)).degraded == ""


async def test_a_project_without_memory_continues_nothing(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server, projects={"diary": {"memory_policy": "off"}}) as router:
        call = asking("hi", conversation="c")
        call.memory.after_request_id = "r0"
        call.caller.project = "diary"
        error = await failure(answer(router, call))
        assert error.reason == "TURN_NOT_FOUND"
        assert "the project's memory policy" in error.message
