"""With `on_disconnect = "drain"` an answer is read to its end though its client went away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from lair.metrics.v1.usage_pb2 import (
    STATUS_CLIENT_CANCELLED,
    STATUS_OK,
    STATUS_UPSTREAM_ERROR,
)
from lair.router.v1 import router_service_pb2 as pb
from lair.router.v1.chat_pb2 import ChatEvent
from lair.router.v1.embedding_pb2 import EmbeddingCall
from lair.router.v1.input_pb2 import TextInput
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import (
    DONE,
    Answer,
    Step,
    chunk,
    completion,
    reply,
    stream,
    usage_chunk,
    usage_of,
)
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, both_ways, events, say, text_of

DRAIN = {"on_disconnect": "drain"}
PROMPT_SECONDS = 2.0


@pytest.fixture
async def router(world: World, server: OpenAIServer) -> AsyncIterator[RouterServiceStub]:
    """Give a router over the one backend `a`, which is drained."""
    async with world.router(server, backend=DRAIN) as stub:
        yield stub


async def leave(client: asyncio.Task[Any]) -> None:
    """Have a client go away."""
    client.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await client


async def prompt(waited: Coroutine[Any, Any, object]) -> None:
    async with asyncio.timeout(PROMPT_SECONDS):
        await waited


async def in_flight(router: RouterServiceStub) -> int:
    backends = (await router.ListBackends(pb.ListBackendsRequest(), timeout=5)).backends
    return backends[0].in_flight_count


async def hear(router: RouterServiceStub, until: str) -> None:
    """Ask in a conversation for a stream; go away when so much of it was said."""
    call = router.ChatStream(pb.ChatStreamRequest(call=asking("hi", conversation="c")))
    said: list[ChatEvent] = []
    async for response in call:
        said += response.events
        if text_of(said) == until:
            break
    call.cancel()
    await asyncio.sleep(0.05)  # the router learns of it, as before any stop


async def test_the_rest_of_a_stream_is_read_counted_and_remembered(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    gate = asyncio.Event()
    rest = (gate, chunk(" there"), chunk(finish="stop"), usage_chunk(5, 2), DONE)
    server.script(stream(chunk("Hel"), chunk("lo"), *rest))
    await hear(router, "Hello")
    assert await in_flight(router) == 1
    gate.set()
    record = await world.metrics.record()
    assert not server.received[0].disconnected
    assert await in_flight(router) == 0
    assert (record.status, record.http_status) == (STATUS_CLIENT_CANCELLED, 499)
    assert [attempt.status for attempt in record.attempts] == [STATUS_OK]
    assert (record.usage.total_tokens, record.finish_reason) == (7, "stop")
    turn = await world.memory.turn()
    assert (turn.reply.text, turn.finish_reason) == ("Hello there", "stop")
    assert len(world.metrics.arrivals) == 1


@pytest.mark.parametrize("said", [(), (chunk(""),)], ids=["nothing", "a role"])
async def test_a_client_may_leave_before_the_first_token(
    world: World, router: RouterServiceStub, server: OpenAIServer, said: tuple[bytes, ...]
) -> None:
    gate = asyncio.Event()
    server.script(stream(*said, gate, chunk("Hello"), chunk(finish="stop"), DONE))
    client = asyncio.create_task(events(router, asking("hi", conversation="c")))
    await server.request(0)
    await asyncio.sleep(0.05)  # the role has come and is held back
    await leave(client)
    gate.set()
    assert (await world.memory.turn()).reply.text == "Hello"
    assert (await world.metrics.record()).status == STATUS_CLIENT_CANCELLED


async def test_a_whole_answer_is_counted_and_remembered(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    gate = asyncio.Event()
    server.script(Answer(completion("Hello").steps, before=(gate,)))
    client = asyncio.create_task(answer(router, asking("hi", conversation="c")))
    await server.request(0)
    await leave(client)
    gate.set()
    record = await world.metrics.record()
    assert (record.status, record.usage.total_tokens) == (STATUS_CLIENT_CANCELLED, 7)
    assert [attempt.status for attempt in record.attempts] == [STATUS_OK]
    assert not server.received[0].disconnected
    assert (await world.memory.turn()).reply.text == "Hello"


async def test_vectors_are_counted(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    gate = asyncio.Event()
    body = {"data": [{"index": 0, "embedding": [1.0, 2.0]}], "usage": usage_of(3, 0)}
    server.script(Answer(reply(body).steps, before=(gate,)))
    call = EmbeddingCall(model="tiny", inputs=[TextInput(text="hi")])
    client = asyncio.create_task(_embed(router, call))
    await server.request(0)
    await leave(client)
    gate.set()
    record = await world.metrics.record()
    assert (record.status, record.usage.prompt_tokens) == (STATUS_CLIENT_CANCELLED, 3)


async def _embed(router: RouterServiceStub, call: EmbeddingCall) -> None:
    await router.Embed(pb.EmbedRequest(call=call), timeout=5)


async def test_an_answer_that_breaks_off_is_told_as_the_backends_failure(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    gate = asyncio.Event()
    server.script(stream(chunk("Hello"), gate, Step.CUT))
    await hear(router, "Hello")
    gate.set()
    record = await world.metrics.record()
    assert record.status == STATUS_CLIENT_CANCELLED
    assert [attempt.status for attempt in record.attempts] == [STATUS_UPSTREAM_ERROR]
    assert (await world.memory.turn()).finish_reason == "cancelled"


async def test_it_keeps_its_place_until_it_is_read(world: World, server: OpenAIServer) -> None:
    gate = asyncio.Event()
    server.script(stream(chunk("a"), gate, chunk(finish="stop"), DONE), completion("next"))
    async with world.router(server, backend=DRAIN | {"max_concurrent": 1}) as router:
        await hear(router, "a")
        waiting = asyncio.create_task(answer(router, asking("hi")))
        leaving = asyncio.create_task(answer(router, asking("who leaves in the queue")))
        await asyncio.sleep(0.05)
        await leave(leaving)
        assert len(server.received) == 1
        gate.set()
        await prompt(waiting)  # type: ignore[arg-type]  # a task is waited for as well
    assert len(server.received) == 2


@both_ways
async def test_a_client_that_stays_is_answered_as_ever(
    world: World, server: OpenAIServer, other: OpenAIServer, streamed: bool
) -> None:
    server.script(reply({"error": "boom"}, 500))
    async with world.router(server, other, backend=DRAIN) as router:
        assert await say(router, asking("hi"), streamed=streamed) == "Hello there"
    record = await world.metrics.record()
    assert (record.status, len(record.attempts)) == (STATUS_OK, 2)


# -- a stop --------------------------------------------------------------------


async def test_a_stop_waits_for_what_is_read(world: World, server: OpenAIServer) -> None:
    server.script(stream(chunk("a"), 0.3, chunk("b"), chunk(finish="stop"), DONE))
    async with world.router(server, backend=DRAIN) as router:
        await hear(router, "a")
    assert (await world.memory.turn()).reply.text == "ab"


async def test_a_stop_ends_what_is_late_and_keeps_what_has_come(
    world: World, server: OpenAIServer
) -> None:
    server.script(stream(chunk("a"), Step.HANG))
    async with world.router(server, backend=DRAIN, gateway={"drain_seconds": 0.2}) as router:
        await hear(router, "a")
        since = time.monotonic()
    assert time.monotonic() - since < PROMPT_SECONDS
    turn = await world.memory.turn()
    assert (turn.reply.text, turn.finish_reason) == ("a", "cancelled")
    assert (await world.metrics.record()).status == STATUS_CLIENT_CANCELLED
    await prompt(server.received[0].ended.wait())
    assert server.received[0].disconnected
