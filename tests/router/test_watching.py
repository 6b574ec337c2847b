"""WatchRequests: who watches a router is told what is in flight, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from lair.metrics.v1.usage_pb2 import STATUS_CLIENT_CANCELLED, STATUS_OK, STATUS_UPSTREAM_ERROR
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.live_pb2 import (
    LIVE_PHASE_DECODING,
    LIVE_PHASE_PREFILL,
    LIVE_PHASE_QUEUED,
    LiveEvent,
)
from lair.router.v1.router_service_pb2 import (
    ChatStreamRequest,
    WatchRequestsRequest,
    WatchRequestsResponse,
)
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.life import Life
from router_svc.live import Live
from router_svc.trace import Trace
from router_svc.watching import watch
from tests.fakes.answers import DONE, chunk, completion, reply, stream, usage_chunk
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, both_ways, events, failure, say

PATIENCE_SECONDS = 10.0


class Watched:
    """What a watcher was told so far."""

    def __init__(self, messages: AsyncIterator[WatchRequestsResponse]) -> None:
        self._messages = messages
        self.told: list[LiveEvent] = []
        self.lost = 0

    async def until(self, wanted: Callable[[LiveEvent], Any]) -> LiveEvent:
        """Read on to the first event that is `wanted`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for message in self._messages:
                self.lost += message.lost_count
                self.told += message.events
                for event in message.events:
                    if wanted(event):
                        return event
        raise AssertionError("the watch ended")

    async def of(self, kind: str) -> LiveEvent:
        """Read on to the next event of a kind."""
        return await self.until(lambda event: event.WhichOneof("event") == kind)


@asynccontextmanager
async def watching(router: RouterServiceStub, **wish: Any) -> AsyncIterator[Watched]:
    """Watch, from behind the first snapshot on."""
    request = WatchRequestsRequest(progress_interval=Duration(nanos=100_000_000), **wish)
    call = router.WatchRequests(request)
    watched = Watched(aiter(call))
    await watched.of("snapshot")
    yield watched
    call.cancel()


@both_ways
async def test_a_request_is_told_when_it_comes_and_when_it_ends(
    world: World, router: RouterServiceStub, streamed: bool
) -> None:
    async with watching(router) as watched:
        assert not watched.told[0].snapshot.requests
        call = asking("hi", model="tiny", request_id="r1", endpoint="/v1/chat/completions")
        await say(router, call, streamed=streamed)
        ended = (await watched.of("finished")).finished
        began = next(it.started for it in watched.told if it.HasField("started"))
    assert (began.request_id, began.user_id, began.requested_model) == ("r1", "ann", "tiny")
    assert (began.endpoint, began.streamed) == ("/v1/chat/completions", streamed)
    assert ended == await world.metrics.record()
    assert (ended.status, ended.usage.completion_tokens) == (STATUS_OK, 2)


async def test_progress_tells_how_far_a_request_is(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    first, rest = asyncio.Event(), asyncio.Event()
    end = (chunk(finish="stop"), usage_chunk(5, 2), DONE)
    server.script(stream(first, chunk("Hel"), chunk("lo"), rest, *end))
    async with watching(router) as watched:
        going = asyncio.ensure_future(events(router, asking("hi")))
        await server.request(0)
        [waits] = (
            await watched.until(lambda it: it.progress.requests and it.progress.requests[0].backend)
        ).progress.requests
        assert (waits.phase, waits.piece_count, waits.backend, waits.model) == (
            LIVE_PHASE_PREFILL,
            0,
            "a",
            "tiny",
        )
        first.set()
        [speaks] = (
            await watched.until(
                lambda it: it.progress.requests and it.progress.requests[0].piece_count == 2
            )
        ).progress.requests
        assert (speaks.phase, speaks.streamed, speaks.attempt_count) == (
            LIVE_PHASE_DECODING,
            True,
            1,
        )
        assert speaks.age.ToMicroseconds() > waits.age.ToMicroseconds()
        rest.set()
        await going
        assert (await watched.of("finished")).finished.status == STATUS_OK


async def test_who_comes_later_is_told_of_what_is_in_flight(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    go_on = asyncio.Event()
    server.script(stream(chunk("a"), go_on, chunk(finish="stop"), DONE))
    going = asyncio.ensure_future(events(router, asking("hi", request_id="r1")))
    await server.request(0)
    async with watching(router) as watched:
        [running] = watched.told[0].snapshot.requests
        assert running.request_id == "r1"
        go_on.set()
        await going


async def test_a_request_that_waits_for_its_device_is_queued(
    world: World, server: OpenAIServer
) -> None:
    go_on = asyncio.Event()
    server.script(stream(go_on, chunk("a"), chunk(finish="stop"), DONE))
    async with world.router(server, backend={"max_concurrent": 1}) as router:
        calls = [asyncio.ensure_future(events(router, asking("hi"))) for _ in range(2)]
        await server.request(0)
        async with watching(router) as watched:
            both = await watched.until(lambda it: len(it.progress.requests) == 2)
            phases = [it.phase for it in both.progress.requests]
            go_on.set()
            await asyncio.gather(*calls)
    assert phases == [LIVE_PHASE_PREFILL, LIVE_PHASE_QUEUED]


@pytest.mark.parametrize(
    ("wish", "seen"),
    [({}, ["r1", "r2", "r3"]), ({"user_id": "bob"}, ["r2", "r3"]), ({"project": "x"}, ["r3"])],
    ids=str,
)
async def test_who_asks_for_one_user_or_project_sees_no_other(
    router: RouterServiceStub, wish: dict[str, str], seen: list[str]
) -> None:
    async with watching(router, **wish) as watched:
        for request_id, user_id, project in (
            ("r1", "ann", ""),
            ("r2", "bob", ""),
            ("r3", "bob", "x"),
        ):
            call = asking("hi", request_id=request_id)
            call.caller.user_id, call.caller.project = user_id, project
            await answer(router, call)
        await watched.until(lambda it: it.finished.request_id == "r3")
    ids = {it.started.request_id or it.finished.request_id for it in watched.told[1:]}
    assert sorted(ids - {""}) == seen


async def test_what_leaves_no_trace_is_not_told(router: RouterServiceStub) -> None:
    async with watching(router) as watched:
        await answer(router, asking("hi", request_id="r1", untraced=True))
        await answer(router, asking("hi", request_id="r2"))
        await watched.of("finished")
    assert "r1" not in str(watched.told)


async def test_failures_and_cancellations_are_told_too(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(reply({"error": "broken"}, 500), stream(chunk("a"), asyncio.Event()))
    async with watching(router) as watched:
        await failure(answer(router, asking("hi")))
        assert (await watched.of("finished")).finished.status == STATUS_UPSTREAM_ERROR
        left = router.ChatStream(ChatStreamRequest(call=asking("hi")))
        await anext(aiter(left))
        left.cancel()
        assert (await watched.of("finished")).finished.status == STATUS_CLIENT_CANCELLED


async def test_requests_are_told_where_they_are_not_counted(
    world: World, server: OpenAIServer
) -> None:
    async with (
        world.router(server, metrics={"enabled": False}) as router,
        watching(router) as watched,
    ):
        await answer(router, asking("hi", request_id="r1"))
        assert (await watched.of("finished")).finished.request_id == "r1"
    assert not world.metrics.records


async def test_without_news_there_are_signs_of_life(router: RouterServiceStub) -> None:
    call = router.WatchRequests(WatchRequestsRequest(progress_interval=Duration(nanos=1)))
    messages = aiter(call)
    assert (await anext(messages)).events[0].HasField("snapshot")
    assert not (await anext(messages)).events
    call.cancel()


async def test_the_end_of_the_router_ends_the_watch(world: World, server: OpenAIServer) -> None:
    async with world.router(server) as router:
        messages = aiter(router.WatchRequests(WatchRequestsRequest()))
        await anext(messages)
        waiting = asyncio.ensure_future(anext(messages, None))
        await asyncio.sleep(0)
    assert await waiting is None


# -- what it costs ---------------------------------------------------------------------


def trace(request_id: str) -> Trace:
    return Trace(ChatCall(request_id=request_id), streamed=True)


async def test_who_is_slow_is_told_how_much_was_lost_and_how_things_stand() -> None:
    live = Live()
    messages = watch(live, WatchRequestsRequest())
    await anext(messages)
    traces = [trace(f"r{number}") for number in range(1500)]
    for one in traces:
        live.begin(one)
        live.end(one, None)
    live.begin(trace("last"))
    told = await anext(messages)
    assert told.lost_count == 501
    assert len(told.events) == 1001
    assert [it.request_id for it in told.events[-1].snapshot.requests] == ["last"]
    await messages.aclose()


async def test_news_is_made_for_nobody_unless_somebody_watches() -> None:
    live = Live()
    one = trace("r1")
    live.begin(one)
    with live.news.watch() as watcher:
        live.end(one, None)
        assert await watcher.next(0) == ([], 0)
    assert live.running() == []


async def test_requests_in_flight_are_forgotten_whatever_ends_them(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(completion("a"), reply({"error": "x"}, 400), completion("b"))
    await answer(router, asking("hi"))
    await failure(answer(router, asking("hi")))
    await failure(answer(router, asking("hi", model="none")))
    await failure(answer(router, asking()))
    async with watching(router) as watched:
        assert not watched.told[0].snapshot.requests
    assert Life.in_flight == 0
