"""Candidates are asked in turn until one begins to answer; then its answer is relayed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from lair.metrics.v1.usage_pb2 import (
    STATUS_CLIENT_CANCELLED,
    STATUS_OK,
    STATUS_RATE_LIMITED,
    STATUS_TIMEOUT,
    STATUS_UPSTREAM_ERROR,
)
from lair.router.v1.chat_pb2 import ChatCall, ChatEvent
from lair.router.v1.router_service_pb2 import ListBackendsRequest
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import (
    DONE,
    Answer,
    Step,
    chunk,
    completion,
    event,
    greeting,
    reply,
    stream,
    streamed,
)
from tests.fakes.openai_server import OpenAIServer
from tests.router.world import (
    World,
    answer,
    asking,
    both_ways,
    events,
    failure,
    kinds,
    relayed,
    say,
    text_of,
)

PROMPT_SECONDS = 1.0


@pytest.fixture
async def pair(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> AsyncIterator[RouterServiceStub]:
    """Give a router over `server`, which is asked first, and `other`."""
    async with world.router(server, other) as stub:
        yield stub


async def asked(router: RouterServiceStub, call: ChatCall, *, streamed: bool) -> None:
    await say(router, call, streamed=streamed)


async def listen(router: RouterServiceStub, said: list[ChatEvent], heard: asyncio.Event) -> None:
    """Ask in a conversation; tell when the answer has got to `Hello`."""
    async for item in relayed(router, asking("hi", conversation="c")):
        said.append(item)
        if text_of(said) == "Hello":
            heard.set()


async def prompt(waited: Coroutine[Any, Any, object]) -> None:
    async with asyncio.timeout(PROMPT_SECONDS):
        await waited


# -- an answer -----------------------------------------------------------------


async def test_a_stream_is_relayed_with_who_answers(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    said = await events(router, asking("hi"))
    assert kinds(said) == ["started", "delta", "delta", "finish", "completed"]
    assert text_of(said) == "Hello there"
    route = said[0].started.route
    assert (route.backend, route.model, route.fallback_count) == ("a", "tiny", 0)
    assert route.reason == "auto: up"
    assert said[-1].completed.usage.total_tokens == 7
    [received] = server.received
    assert (received.body["model"], received.body["stream"]) == ("tiny", True)
    assert received.body["messages"] == [{"role": "user", "content": "hi"}]


async def test_a_whole_answer_is_returned_with_who_gave_it(router: RouterServiceStub) -> None:
    response = await answer(router, asking("hi", model="tiny"))
    assert response.completion.choices[0].message.text == "Hello there"
    assert (response.route.backend, response.route.reason) == ("a", "model tiny")


async def test_pieces_are_passed_on_as_they_come(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    server.script(stream(chunk("one"), gates[0], chunk("two"), gates[1], chunk(finish="stop")))
    said = []
    async for item in relayed(router, asking("hi")):
        said.append(item)
        if text_of(said) == "one":
            gates[0].set()
        elif text_of(said) == "onetwo":
            gates[1].set()
    assert kinds(said) == ["started", "delta", "delta", "finish", "completed"]


async def test_a_key_out_of_the_environment_reaches_the_backend(
    world: World, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "sk-123")
    async with world.router(server, backend={"api_key": "env:THE_KEY"}) as router:
        await answer(router, asking("hi"))
    assert server.received[0].headers["authorization"] == "Bearer sk-123"


async def test_the_end_is_not_held_back_by_a_backend_that_never_says_done(
    router: RouterServiceStub, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router_svc.backends.connection._TAIL_SECONDS", 0.05)
    server.script(stream(chunk("a"), chunk(finish="stop"), Step.HANG))
    assert kinds(await events(router, asking("hi")))[-1] == "completed"
    await prompt(server.received[0].ended.wait())
    assert server.received[0].disconnected


# -- fallback ------------------------------------------------------------------

FAULTS = {
    "500": reply({"error": {"message": "out of memory"}}, 500),
    "503": reply({"error": "busy"}, 503),
    "429": reply({"detail": "slow down"}, 429),
    "401": reply({"error": {"message": "bad key"}}, 401),
    "404": reply({"error": {"message": "no such model"}}, 404),
    "too long": reply({"error": {"code": "context_length_exceeded", "message": "x"}}, 400),
    "html": reply(b"<html>", 502),
    "cut": Answer((), before=(Step.CUT,)),
}
STREAM_FAULTS = {
    **FAULTS,
    "nothing": stream(),
    "only done": stream(DONE),
    "error first": stream(event({"error": {"message": "out of memory"}})),
    "role, then cut": stream(chunk(""), Step.CUT),
    "role, then error": stream(chunk(""), event({"error": "out of memory"})),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_failure_moves_a_whole_answer_on(
    pair: RouterServiceStub, server: OpenAIServer, fault: Answer
) -> None:
    server.script(fault)
    response = await answer(pair, asking("hi"))
    assert response.completion.choices[0].message.text == "Hello there"
    assert (response.route.backend, response.route.fallback_count) == ("b", 1)


@pytest.mark.parametrize("fault", STREAM_FAULTS.values(), ids=STREAM_FAULTS.keys())
async def test_a_failure_before_the_first_content_moves_a_stream_on(
    pair: RouterServiceStub, server: OpenAIServer, fault: Answer
) -> None:
    server.script(fault)
    said = await events(pair, asking("hi"))
    assert kinds(said) == ["started", "delta", "delta", "finish", "completed"]
    assert (said[0].started.route.backend, said[0].started.route.fallback_count) == ("b", 1)


@both_ways
async def test_a_server_that_is_gone_moves_on(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    async with OpenAIServer("tiny") as gone, world.router(gone, server) as router:
        await gone.__aexit__()
        assert await say(router, asking("hi"), streamed=streamed) == "Hello there"
    first, second = (await world.metrics.record()).attempts
    assert (first.backend, first.status, first.http_status) == ("a", STATUS_UPSTREAM_ERROR, 0)
    assert "cannot be reached" in first.error
    assert (second.backend, second.status) == ("b", STATUS_OK)


@both_ways
async def test_every_try_is_in_the_record(
    world: World, pair: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    server.script(reply({"error": {"message": "slow down"}}, 429))
    await asked(pair, asking("hi"), streamed=streamed)
    record = await world.metrics.record()
    assert (record.backend, record.status, record.http_status) == ("b", STATUS_OK, 200)
    assert [
        (a.backend, a.model, a.status, a.http_status, a.error) for a in record.attempts
    ] == [
        ("a", "tiny", STATUS_RATE_LIMITED, 429, "slow down"),
        ("b", "tiny", STATUS_OK, 200, ""),
    ]  # fmt: skip
    assert all(attempt.duration_us > 0 for attempt in record.attempts)
    assert record.upstream_us == sum(attempt.duration_us for attempt in record.attempts)
    assert record.duration_us >= record.upstream_us


@pytest.mark.parametrize("status", [400, 413, 415, 422])
@both_ways
async def test_the_clients_own_mistake_is_not_tried_elsewhere(
    pair: RouterServiceStub, server: OpenAIServer, other: OpenAIServer, status: int, streamed: bool
) -> None:
    server.script(reply({"detail": "n must be 1"}, status))
    error = await failure(asked(pair, asking("hi"), streamed=streamed))
    assert (error.reason, error.message) == ("UPSTREAM_REJECTED", "a: n must be 1")
    assert error.metadata["upstream_status"] == str(status)
    assert error.metadata["backend"] == "a"
    assert not other.received


@both_ways
async def test_where_all_fail_one_failure_and_all_who_were_asked_are_told(
    world: World, pair: RouterServiceStub, server: OpenAIServer, other: OpenAIServer, streamed: bool
) -> None:
    server.script(reply({"error": "boom"}, 500))
    other.script(reply({"error": "busy"}, 429, retry_after="7"))
    error = await failure(asked(pair, asking("hi"), streamed=streamed))
    assert (error.reason, error.message) == ("RATE_LIMITED", "b: busy (also asked: a)")
    assert error.metadata == {
        "model": "auto",
        "backend": "b",
        "backends": "a, b",
        "upstream_status": "429",
        "retry_after_seconds": "7",
    }
    record = await world.metrics.record()
    assert (record.status, record.http_status) == (STATUS_RATE_LIMITED, 429)
    assert record.error_reason == "RATE_LIMITED"
    assert len(record.attempts) == 2


@both_ways
async def test_a_prompt_too_long_for_all_is_told_as_such(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    server.script(FAULTS["too long"])
    error = await failure(asked(router, asking("hi"), streamed=streamed))
    assert error.reason == "CONTEXT_LENGTH_EXCEEDED"


# -- after the first content ---------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [(Step.CUT,), (), (event({"error": {"message": "boom"}}),), (event("{"),)],
    ids=["cut", "end without a reason", "error", "junk"],
)
async def test_a_failure_after_the_first_content_is_the_answers_end(
    world: World,
    pair: RouterServiceStub,
    server: OpenAIServer,
    other: OpenAIServer,
    fault: tuple[Any, ...],
) -> None:
    heard = asyncio.Event()
    server.script(stream(chunk("Hel"), chunk("lo"), heard, *fault))
    said: list[ChatEvent] = []
    error = await failure(listen(pair, said, heard))
    assert error.reason == "UPSTREAM_FAILED"
    assert text_of(said) == "Hello"
    assert "completed" not in kinds(said)
    assert not other.received
    record = await world.metrics.record()
    assert (record.status, record.http_status) == (STATUS_UPSTREAM_ERROR, 502)
    assert [attempt.status for attempt in record.attempts] == [STATUS_UPSTREAM_ERROR]
    assert record.attempts[0].error
    assert record.first_token_us > 0
    turn = await world.memory.turn()
    assert (turn.reply.text, turn.finish_reason) == ("Hello", "error")


# -- time limits ---------------------------------------------------------------


@both_ways
async def test_a_backend_without_a_first_byte_in_time_is_left_for_the_next(
    world: World, server: OpenAIServer, other: OpenAIServer, streamed: bool
) -> None:
    server.script(Answer((), before=(Step.HANG,)))
    limit = {"first_token_seconds": 0.1}
    async with world.router(server, other, backend=limit) as router:
        assert await say(router, asking("hi"), streamed=streamed) == "Hello there"
        await prompt(server.received[0].ended.wait())
    assert server.received[0].disconnected
    assert (await world.metrics.record()).attempts[0].status == STATUS_TIMEOUT


async def test_silence_in_the_middle_of_an_answer_ends_it(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(stream(chunk("a"), Step.HANG))
    async with world.router(server, other, backend={"idle_seconds": 0.1}) as router:
        error = await failure(events(router, asking("hi")))
        await prompt(server.received[0].ended.wait())
    assert error.reason == "UPSTREAM_TIMEOUT"
    assert server.received[0].disconnected
    assert not other.received


async def test_a_refusal_that_does_not_say_why_in_time_counts_by_its_status(
    router: RouterServiceStub, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router_svc.backends.connection._TAIL_SECONDS", 0.05)
    server.script(Answer((b"{", Step.HANG), status=503))
    error = await failure(answer(router, asking("hi")))
    assert (error.reason, error.metadata["upstream_status"]) == ("UPSTREAM_FAILED", "503")


# -- a client that goes away ---------------------------------------------------


@pytest.mark.parametrize(
    ("streamed", "slow"),
    [
        (False, Answer((), before=(Step.HANG,))),
        (False, Answer((b"{", Step.HANG))),
        (True, Answer((), before=(Step.HANG,))),
        (True, stream(Step.HANG)),
        (True, stream(chunk(""), Step.HANG)),
    ],
    ids=["whole", "half", "no headers", "no byte", "no content"],
)
async def test_a_client_that_leaves_before_the_first_token_ends_the_upstream_at_once(
    world: World, router: RouterServiceStub, server: OpenAIServer, streamed: bool, slow: Answer
) -> None:
    server.script(slow)
    client = asyncio.create_task(asked(router, asking("hi", conversation="c"), streamed=streamed))
    received = await server.request(0)
    left = time.monotonic()
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    await prompt(received.ended.wait())
    assert received.disconnected
    assert received.end_seconds - left < PROMPT_SECONDS
    record = await world.metrics.record()
    assert (record.status, record.http_status) == (STATUS_CLIENT_CANCELLED, 499)
    assert [a.status for a in record.attempts] == [STATUS_CLIENT_CANCELLED]
    assert not record.HasField("first_token_us")
    assert not world.journal("turns")


async def test_a_client_that_leaves_in_the_middle_leaves_its_partial_answer(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(stream(chunk("Hel"), chunk("lo"), Step.HANG))
    heard = asyncio.Event()
    client = asyncio.create_task(listen(router, [], heard))
    await prompt(heard.wait())
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    await prompt(server.received[0].ended.wait())
    assert (await world.metrics.record()).status == STATUS_CLIENT_CANCELLED
    turn = await world.memory.turn()
    assert (turn.reply.text, turn.finish_reason) == ("Hello", "cancelled")


# -- what the catalogue knows --------------------------------------------------


async def test_requests_under_way_and_the_last_failure_are_shown(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    gate = asyncio.Event()
    server.script(Answer((), before=(gate,), status=500), greeting)
    client = asyncio.create_task(failure(answer(router, asking("hi"))))
    await server.request(0)
    backends = (await router.ListBackends(ListBackendsRequest(), timeout=5)).backends
    assert (backends[0].name, backends[0].in_flight_count) == ("a", 1)
    gate.set()
    await client
    backends = (await router.ListBackends(ListBackendsRequest(), timeout=5)).backends
    assert (backends[0].in_flight_count, backends[0].last_error) == (0, "HTTP 500: no message")


async def test_many_chats_at_once_do_not_mix(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    def echo(body: dict[str, Any]) -> Answer:
        text = body["messages"][-1]["content"]
        return streamed(*text) if body["stream"] else completion(text)

    server.script(echo)
    texts = [f"text {number}" for number in range(20)]
    calls = [say(router, asking(text), streamed=bool(n % 2)) for n, text in enumerate(texts)]
    assert await asyncio.gather(*calls) == texts
