"""What is counted of a chat, and that nothing of it is lost."""

from __future__ import annotations

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
    USAGE_SOURCE_ESTIMATED,
    USAGE_SOURCE_UPSTREAM,
)
from lair.router.v1.chat_pb2 import MEMORY_POLICY_STORE
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
from tests.router.world import (
    World,
    answer,
    asking,
    assistant,
    both_ways,
    events,
    failure,
    relayed,
    say,
    user,
)

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
async def test_tokens_nobody_counted_are_estimated_and_said_to_be(
    world: World, router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    whole = completion("a", usage=None)
    server.script(stream(chunk("a"), chunk(finish="stop")) if streamed else whole)
    await say(router, asking("hi"), streamed=streamed)
    record = await world.metrics.record()
    assert record.usage_source == USAGE_SOURCE_ESTIMATED
    assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (9, 1)


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
    call = asking("hi", policy=MEMORY_POLICY_STORE, request_id="request-1")
    journalled = []
    async for item in relayed(router, call):
        last = item.WhichOneof("event")
        journalled = [b"request-1" in world.journal(name) for name in ("records", "turns")]
        assert last in ("finish", "completed") or journalled == [False, False]
    assert (last, journalled) == ("completed", [True, True])
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
        response = await answer(router, asking("hi", conversation="c", request_id="r0"))
        assert "memory service down" in response.memory.degraded
        async with (
            serving(memory.servicers(), f"127.0.0.1:{ports[0]}", grace_seconds=0),
            serving(metrics.servicers(), f"127.0.0.1:{ports[1]}", grace_seconds=0),
        ):
            assert (await memory.turn()).request_id == "r0"
            assert (await metrics.record()).request_id == "r0"
