"""Every wait for a backend ends, and so does every reply; the error says by which setting."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lair.metrics.v1.usage_pb2 import STATUS_TIMEOUT
from lair.router.v1 import router_service_pb2 as pb
from router_svc.backends.limits import LateError, Patience
from router_svc.backends.openai import OpenAIBackend
from svckit import settings
from tests.fakes.answers import DONE, Answer, Step, chunk, completion, reply, stream
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import World, answer, asking, both_ways, events, failure, kinds, say

HANG = Answer((), before=(Step.HANG,))
DRIP = stream(chunk("a"), *(0.02, chunk("b")) * 500)
CONNECTION = "router_svc.backends.connection"


async def told(world: World, server: OpenAIServer, *, streamed: bool, **limit: float) -> Any:
    """Return the error of a chat with a backend of that limit."""
    async with world.router(server, backend=limit) as router:
        error = await failure(say(router, asking("hi"), streamed=streamed))
    return error.reason, error.metadata.get("setting"), error.metadata.get("timeout_seconds")


@both_ways
async def test_an_answer_that_does_not_begin_says_how_long_was_waited(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    server.script(HANG)
    assert await told(world, server, streamed=streamed, first_token_seconds=0.1) == (
        *("UPSTREAM_TIMEOUT", "first_token_seconds"),
        "0.1",
    )


async def test_silence_within_an_answer_says_how_long_was_waited(
    world: World, server: OpenAIServer
) -> None:
    server.script(stream(chunk("a"), Step.HANG))
    assert await told(world, server, streamed=True, idle_seconds=0.1) == (
        *("UPSTREAM_TIMEOUT", "idle_seconds"),
        "0.1",
    )


@pytest.mark.parametrize(
    ("streamed", "slow"),
    [(False, HANG), (False, Answer((b"{", Step.HANG))), (True, HANG), (True, DRIP)],
    ids=["whole", "half", "no headers", "never at rest"],
)
async def test_a_whole_answer_has_a_limit_of_its_own(
    world: World, server: OpenAIServer, streamed: bool, slow: Answer
) -> None:
    server.script(slow)
    assert await told(world, server, streamed=streamed, total_seconds=0.2) == (
        *("UPSTREAM_TIMEOUT", "total_seconds"),
        "0.2",
    )
    async with asyncio.timeout(5):
        await server.received[0].ended.wait()
    assert server.received[0].disconnected
    record = await world.metrics.record()
    assert (record.status, record.attempts[0].status) == (STATUS_TIMEOUT, STATUS_TIMEOUT)


async def test_the_limit_counts_though_the_client_is_slower_than_the_backend(
    server: OpenAIServer,
) -> None:
    server.script(DRIP)
    config = settings.Backend(name="a", url=server.url, total_seconds=0.3)
    backend = OpenAIBackend(config)

    async def slowly() -> None:
        async for _ in backend.stream(asking("hi"), "tiny"):
            await asyncio.sleep(0.05)  # there is more to read whenever it looks

    with pytest.raises(LateError, match="total_seconds"):
        await slowly()
    await backend.close()


async def test_an_answer_that_is_complete_in_time_is_whole_though_its_tail_is_late(
    world: World, server: OpenAIServer
) -> None:
    server.script(stream(chunk("a"), chunk(finish="stop"), 0.3, DONE))
    async with world.router(server, backend={"total_seconds": 0.2}) as router:
        assert kinds(await events(router, asking("hi")))[-1] == "completed"


@contextmanager
def _deaf() -> Iterator[str]:
    """Give the URL of a server that takes no connection any more."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"


@both_ways
async def test_a_server_that_takes_no_connection_is_left_for_the_next(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    monkeypatch.setattr("router_svc.backends.openai._PROBE_SECONDS", 0.2)
    with _deaf() as url:
        backends = [
            {"name": "deaf", "url": url, "models": ["tiny"], "connect_seconds": 0.1, "priority": 1},
            {"name": "b", "url": server.url},
        ]
        async with world.router(backends=backends) as router:
            named = asking("hi", backend="deaf")
            error = await failure(say(router, named, streamed=streamed))
            assert await say(router, asking("hi"), streamed=streamed) == "Hello there"
    assert (error.reason, error.metadata["setting"]) == ("UPSTREAM_TIMEOUT", "connect_seconds")


# -- the timer -----------------------------------------------------------------


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the times for which timers are set."""
    loop, times = asyncio.get_running_loop(), list[float]()
    call_at = loop.call_at

    def noted(when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        times.append(when)
        return call_at(when, *args, **kwargs)

    monkeypatch.setattr(loop, "call_at", noted)
    return times


def patience(**limits: float) -> Patience:
    return Patience(settings.Backend(name="b", **limits))


async def test_a_hundred_waits_share_one_timer(timers: list[float]) -> None:
    kept = patience(first_token_seconds=60)
    for _ in range(100):
        with kept:
            await asyncio.sleep(0)
    kept.close()
    assert len(timers) == 1


async def test_a_wait_is_as_long_as_allowed_though_the_timer_rings_before() -> None:
    kept = patience(first_token_seconds=0.1)
    for _ in range(3):  # 0.18 s, of which no wait is too long
        with kept:
            await asyncio.sleep(0.06)
    with pytest.raises(LateError), kept:
        await asyncio.sleep(5)


async def test_a_timer_that_rings_while_nobody_waits_disturbs_nobody() -> None:
    kept = patience(first_token_seconds=0.05)
    with kept:
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    with pytest.raises(LateError), kept:
        await asyncio.sleep(5)


async def test_who_is_cancelled_is_cancelled_and_not_late() -> None:
    kept = patience(first_token_seconds=0.05)

    async def wait() -> None:
        with kept:
            try:
                await asyncio.sleep(5)
            finally:
                task.cancel()

    task = asyncio.create_task(wait())
    with pytest.raises(asyncio.CancelledError):
        await task


# -- sizes ---------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "zipped"])
async def test_a_whole_answer_that_is_too_long_is_a_failure(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.setattr(f"{CONNECTION}.MOST_ANSWER_BYTES", 1024 * 1024)
    long = completion("a" * 1024 * 1024)
    if zipped:
        [payload] = long.steps
        assert isinstance(payload, bytes)
        long = Answer((gzip.compress(payload),), headers={"content-encoding": "gzip"})
    server.script(long)
    async with world.router(server) as router:
        error = await failure(answer(router, asking("hi")))
    assert error.reason == "UPSTREAM_FAILED"
    assert "longer than 1 MiB" in error.message


async def test_a_refusal_that_is_too_long_counts_by_its_status(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{CONNECTION}.MOST_ERROR_BYTES", 1000)
    server.script(reply({"error": {"message": "a" * 2000}}, 400))
    async with world.router(server) as router:
        error = await failure(answer(router, asking("hi")))
    assert (error.reason, error.metadata["upstream_status"]) == ("UPSTREAM_REJECTED", "400")
    assert len(error.message) < 200


async def test_a_list_of_models_that_is_too_long_is_a_server_that_is_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{CONNECTION}.MOST_DOCUMENT_BYTES", 1000)
    many = OpenAIServer(*(f"model {number}" for number in range(100)))
    async with many, world.router(many) as router:
        listed = await router.ListBackends(pb.ListBackendsRequest())
    backend = listed.backends[0]
    assert (backend.state, list(backend.models)) == (pb.BACKEND_STATE_DOWN, [])
    assert "longer than" in backend.last_error
