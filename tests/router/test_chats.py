"""What is remembered of a chat, what is counted, and that neither is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall
from lair.metrics.v1.usage_pb2 import (
    ORIGIN_CLIENT,
    STATUS_INVALID_REQUEST,
    STATUS_NO_BACKEND,
    STATUS_OK,
    USAGE_SOURCE_MISSING,
    USAGE_SOURCE_UPSTREAM,
)
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_RECALL,
    MEMORY_POLICY_STORE,
    MemoryOutcome,
)
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.main import open_service
from svckit.channels import connect
from svckit.grpc_server import serving
from svckit.inprocess import InProcessChannel
from svckit.settings import Settings
from svckit.times import now_us, to_us
from tests.fakes.answers import chunk, completion, event, stream
from tests.fakes.openai_server import OpenAIServer, free_port
from tests.fakes.services import ScriptedMemory, ScriptedMetrics
from tests.router.world import World, answer, asking, events, failure, relayed, say

both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
HISTORY_LEFT_OUT = "memory service down or late: history left out"


def assistant(text: str) -> Message:
    return Message(role="assistant", text=text)


def user(text: str) -> Message:
    return Message(role="user", text=text)


def contents(server: OpenAIServer, number: int = -1) -> list[str]:
    return [message["content"] for message in server.received[number].body["messages"]]


async def outcome(router: RouterServiceStub, call: Any) -> MemoryOutcome:
    return (await answer(router, call)).memory


# -- what is counted -----------------------------------------------------------


@both_ways
async def test_the_record_of_an_answer(
    world: World, router: RouterServiceStub, streamed: bool
) -> None:
    before = now_us()
    call = asking(
        "hi", conversation="c", request_id="r1", model="tiny", endpoint="/v1/chat/completions"
    )
    call.caller.project = "p"
    await say(router, call, streamed=streamed)
    record = await world.metrics.record()
    assert record.request_id == "r1"
    assert before <= to_us(record.request_time) <= now_us()
    assert record.caller == Caller(user_id="ann", project="p")
    assert (record.conversation_id, record.endpoint) == ("c", "/v1/chat/completions")
    assert (record.requested_model, record.model, record.backend) == ("tiny", "tiny", "a")
    assert (record.local, record.origin, record.streamed) == (True, ORIGIN_CLIENT, streamed)
    assert (record.status, record.http_status, record.error_reason) == (STATUS_OK, 200, "")
    assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (5, 2)
    assert record.usage_source == USAGE_SOURCE_UPSTREAM
    assert (record.finish_reason, record.new_message_count) == ("stop", 2)
    assert record.HasField("first_token_us") == streamed
    assert 0 <= record.first_token_us <= record.duration_us


async def test_what_a_grpc_caller_leaves_out_is_filled_in(
    world: World, router: RouterServiceStub
) -> None:
    await answer(router, asking("hi"))
    record = await world.metrics.record()
    assert len(record.request_id) == 36
    assert (record.endpoint, record.requested_model, record.model) == ("grpc", "auto", "tiny")


@both_ways
async def test_tokens_nobody_counted_are_missing_and_not_zero(
    world: World, router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    whole = completion("a", usage=None)
    server.script(stream(chunk("a"), chunk(finish="stop")) if streamed else whole)
    await say(router, asking("hi"), streamed=streamed)
    record = await world.metrics.record()
    assert record.usage_source == USAGE_SOURCE_MISSING
    assert not record.HasField("usage")


@pytest.mark.parametrize(
    ("messages", "count"),
    [
        ([user("a")], 1),
        ([Message(role="system", text="s"), user("a")], 1),
        ([user("a"), assistant("b"), user("c")], 1),
        ([user("a"), assistant("b"), Message(role="tool", text="1"), Message(role="tool")], 2),
        ([user("a"), assistant("b")], 0),
    ],
    ids=["first", "system", "history", "tools", "continue"],
)
async def test_messages_new_to_lair_are_counted_with_the_answer(
    world: World, router: RouterServiceStub, messages: list[Message], count: int
) -> None:
    await answer(router, asking(messages=messages))
    assert (await world.metrics.record()).new_message_count == count + 1


async def test_tool_calls_are_counted_and_remembered_whole(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    def calls(index: int, arguments: str, **first: Any) -> bytes:
        name = {"name": first.pop("name")} if first else {}
        call = {"index": index, "function": {"arguments": arguments, **name}, **first}
        return event({"choices": [{"delta": {"tool_calls": [call]}}]})

    pieces = [
        calls(0, '{"a"', id="c1", name="f"),
        calls(0, ":1}"),
        calls(1, "{}", id="c2", name="g"),
    ]
    server.script(stream(*pieces, chunk(finish="tool_calls")))
    await events(router, asking("hi", conversation="c"))
    assert (await world.metrics.record()).tool_call_count == 2
    turn = await world.memory.turn()
    functions = [
        FunctionCall(name="f", arguments='{"a":1}'),
        FunctionCall(name="g", arguments="{}"),
    ]
    assert list(turn.reply.tool_calls) == [
        ToolCall(id=name, type="function", function=function)
        for name, function in zip(("c1", "c2"), functions, strict=True)
    ]
    assert turn.finish_reason == "tool_calls"


@both_ways
async def test_a_request_nobody_could_take_is_counted_too(world: World, streamed: bool) -> None:
    async with OpenAIServer() as serves_nothing, world.router(serves_nothing) as router:
        error = await failure(say(router, asking("hi", conversation="c"), streamed=streamed))
    assert error.reason == "NO_BACKEND"
    record = await world.metrics.record()
    assert (record.status, record.http_status) == (STATUS_NO_BACKEND, 503)
    assert (record.backend, record.new_message_count, len(record.attempts)) == ("", 1, 0)
    assert not world.memory.turns


@both_ways
async def test_a_chat_without_messages_is_the_clients_mistake(
    world: World, router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    error = await failure(say(router, asking(), streamed=streamed))
    assert (error.reason, error.metadata) == ("INVALID_FIELD", {"field": "messages"})
    assert (await world.metrics.record()).status == STATUS_INVALID_REQUEST
    assert not server.received


async def test_nothing_is_counted_where_metrics_are_off(world: World, server: OpenAIServer) -> None:
    async with world.router(server, metrics={"enabled": False}) as router:
        await answer(router, asking("hi"))
        assert not world.journal("records")


# -- the journal ---------------------------------------------------------------


async def test_the_outcome_is_journalled_before_the_last_event(
    world: World, router: RouterServiceStub
) -> None:
    world.metrics.state.ready.clear()
    world.memory.state.ready.clear()
    call = asking("hi", conversation="", policy=MEMORY_POLICY_STORE, request_id="request-1")
    seen = []
    async for item in relayed(router, call):
        seen.append(item.WhichOneof("event"))
        journalled = [b"request-1" in world.journal(name) for name in ("records", "turns")]
        assert journalled == [seen[-1] == "completed"] * 2
    assert seen[-1] == "completed"
    world.metrics.state.ready.set()
    world.memory.state.ready.set()


async def test_a_whole_answer_is_journalled_before_it_is_returned(
    world: World, router: RouterServiceStub
) -> None:
    world.metrics.state.ready.clear()
    await answer(router, asking("hi", request_id="request-1"))
    assert b"request-1" in world.journal("records")
    world.metrics.state.ready.set()


async def test_what_metrics_missed_while_down_is_counted_once(
    world: World, router: RouterServiceStub
) -> None:
    world.metrics.state.down = True
    for number in range(3):
        await answer(router, asking("hi", request_id=f"r{number}"))
    assert not world.metrics.records
    world.metrics.state.down = False
    await world.metrics.record(2)
    assert sorted(world.metrics.arrivals) == ["r0", "r1", "r2"]


async def test_a_lost_acknowledgement_counts_nothing_twice(
    world: World, router: RouterServiceStub
) -> None:
    world.metrics.state.lost_acknowledgements = 1
    await answer(router, asking("hi", request_id="r0"))
    await world.metrics.state.wait_until(lambda: len(world.metrics.arrivals) == 2)
    assert world.metrics.arrivals == ["r0", "r0"]
    assert list(world.metrics.records) == ["r0"]


async def test_what_was_not_delivered_is_by_the_next_process(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router_svc.main._FLUSH_SECONDS", 0.01)
    world.memory.state.down = world.metrics.state.down = True
    async with world.router(server) as router:
        call = asking("hi", policy=MEMORY_POLICY_STORE, request_id="r0")
        await answer(router, call)
    world.memory.state.down = world.metrics.state.down = False
    async with world.router(server):
        assert (await world.metrics.record()).request_id == "r0"
        assert (await world.memory.turn()).reply.text == "Hello there"


async def test_over_real_channels_services_that_start_late_get_everything(
    tmp_path: Path, server: OpenAIServer
) -> None:
    memory, metrics = ScriptedMemory(), ScriptedMetrics()
    ports = free_port(), free_port()
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "router": {"discover": False},
            "backends": [{"name": "a", "url": server.url}],
        }
    )
    async with (
        connect(f"127.0.0.1:{ports[0]}") as to_memory,
        connect(f"127.0.0.1:{ports[1]}") as to_metrics,
        open_service(settings, memory=to_memory, metrics=to_metrics) as servicers,
    ):
        router = RouterServiceStub(InProcessChannel(servicers))
        said = await outcome(router, asking("hi", conversation="c", request_id="r0"))
        assert said.degraded == HISTORY_LEFT_OUT
        async with (
            serving(memory.servicers(), f"127.0.0.1:{ports[0]}", grace_seconds=0),
            serving(metrics.servicers(), f"127.0.0.1:{ports[1]}", grace_seconds=0),
        ):
            assert (await memory.turn()).request_id == "r0"
            assert (await metrics.record()).request_id == "r0"


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
    await answer(router, asking("one", conversation="c"))
    world.memory.state.ready.clear()
    await answer(router, asking("aside", conversation="", policy=MEMORY_POLICY_OFF))
    await world.memory.turn()
    first = asyncio.create_task(events(router, asking("two", conversation="c")))
    world.memory.state.ready.set()
    await first
    world.memory.state.ready.clear()
    second = asyncio.create_task(events(router, asking("three", conversation="c")))
    await world.memory.state.held.wait()
    assert len(world.memory.turns) == 1
    world.memory.state.ready.set()
    await second
    assert contents(server) == ["one", "Hello there", "two", "Hello there", "three"]


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
