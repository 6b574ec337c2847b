"""Waiting for a device through the running router."""

from __future__ import annotations

import asyncio
from typing import Any

from lair.router.v1.router_service_pb2 import ChatRequest
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import Answer, completion, streamed
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, events, failure, kinds

ONE = {"max_concurrent": 1}


class Gate:
    """Answers wait until it opens; knows how many waited at a time."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    def answers(self, body: dict[str, Any]) -> Answer:
        whole = streamed("yes") if body.get("stream") else completion("yes")
        return Answer(whole.steps, status=whole.status, headers=whole.headers, before=(self.open,))


def call_of(text: str, *, key: str = "", priority: str = "") -> Any:
    call = asking(text)
    call.caller.key_id = key
    call.route.priority = priority
    return call


def texts(server: OpenAIServer) -> list[str]:
    """Return what the server was asked, in its own order."""
    return [received.body["messages"][-1]["content"] for received in server.received]


async def ask_all(router: RouterServiceStub, *calls: Any) -> list[asyncio.Task[Any]]:
    """Send chats in this order; return their tasks once each has its place."""
    tasks = []
    for call in calls:
        tasks.append(asyncio.ensure_future(router.Chat(ChatRequest(call=call), timeout=20)))
        await asyncio.sleep(0.01)
    return tasks


async def test_a_device_works_on_one_and_the_others_see_their_position(
    world: World, server: OpenAIServer
) -> None:
    gate = Gate()
    server.script(gate.answers)
    async with world.router(server, backend=ONE) as router:
        first = await ask_all(router, call_of("first"))
        await server.request(0)
        waiting = asyncio.ensure_future(events(router, call_of("second")))
        await asyncio.sleep(0.05)
        assert texts(server) == ["first"]
        gate.open.set()
        said = await waiting
        assert kinds(said)[:2] == ["waiting", "started"]
        assert said[0].waiting.position == 0
        assert said[1].started.route.queue_duration.ToMilliseconds() > 0
        await asyncio.gather(*first)


async def test_two_backends_on_one_device_share_its_queue(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    gate = Gate()
    server.script(gate.answers)
    other.script(gate.answers)
    shared = {**ONE, "device": "gpu0"}
    async with world.router(server, other, backend=shared) as router:
        one, two = call_of("one"), call_of("two")
        one.route.backend, two.route.backend = "a", "b"
        tasks = await ask_all(router, one, two)
        await server.request(0)
        assert other.received == []
        gate.open.set()
        await asyncio.gather(*tasks)
        assert texts(other) == ["two"]


async def test_interactive_goes_before_agents_and_keys_take_turns(
    world: World, server: OpenAIServer
) -> None:
    gate = Gate()
    server.script(gate.answers)
    async with world.router(server, backend=ONE) as router:
        agents = [call_of(f"x{n}", key="x", priority="agent") for n in range(3)]
        other = call_of("y0", key="y", priority="agent")
        person = call_of("person", key="p")
        tasks = await ask_all(router, call_of("running", key="x"), *agents, other, person)
        gate.open.set()
        await asyncio.gather(*tasks)
        assert texts(server) == ["running", "person", "x0", "y0", "x1", "x2"]


async def test_cancelled_waiters_never_reach_the_backend(
    world: World, server: OpenAIServer
) -> None:
    gate = Gate()
    server.script(gate.answers)
    async with world.router(server, backend=ONE) as router:
        running = await ask_all(router, call_of("running"))
        waiters = await ask_all(router, *(call_of(f"w{n}") for n in range(50)))
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        gate.open.set()
        await asyncio.gather(*running)
        await answer(router, call_of("last"))
        assert texts(server) == ["running", "last"]


async def test_a_full_queue_tells_when_to_come_back(world: World, server: OpenAIServer) -> None:
    gate = Gate()
    server.script(gate.answers)
    async with world.router(server, backend=ONE, router={"max_waiting": 1}) as router:
        tasks = await ask_all(router, call_of("running"), call_of("waits"))
        error = await failure(answer(router, call_of("too many")))
        assert error.reason == "RATE_LIMITED"
        assert float(error.metadata["retry_after_seconds"]) > 0
        gate.open.set()
        await asyncio.gather(*tasks)


async def test_a_busy_device_is_passed_over_for_a_free_one(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    gate = Gate()
    server.script(gate.answers)
    other.script(completion("free"))
    async with world.router(server, other, backend=ONE) as router:
        tasks = await ask_all(router, call_of("one"))
        await server.request(0)
        reply = await answer(router, call_of("two"))
        assert reply.route.backend == "b"
        gate.open.set()
        await asyncio.gather(*tasks)


async def test_an_unknown_class_is_refused_by_name(world: World, server: OpenAIServer) -> None:
    async with world.router(server) as router:
        error = await failure(answer(router, call_of("x", priority="urgent")))
    assert error.metadata["field"] == "X-Priority"
    assert "interactive" in error.message
