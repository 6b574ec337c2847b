"""Faults of any server come out as a clean answer or a clean error."""

from __future__ import annotations

import pytest

from lair.router.v1.chat_pb2 import ChatEvent
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import (
    DONE,
    Answer,
    Step,
    chunk,
    completion,
    event,
    reply,
    stream,
    streamed,
)
from tests.fakes.openai_server import OpenAIServer
from tests.router.streams import deltas
from tests.router.world import (
    World,
    answer,
    asking,
    both_ways,
    events,
    failure,
    say,
    text_of,
)

STOP = chunk(finish="stop")


def reasoning_of(said: list[ChatEvent]) -> str:
    return "".join(delta.reasoning for delta in deltas(said))


@both_ways
async def test_a_think_tag_within_the_content_is_split_off_where_it_is_wanted(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    pieces = [chunk(text) for text in ("<th", "ink>why</thi", "nk>\n\n", "because")]
    whole = completion("<think>why</think>\n\nbecause")
    server.script(stream(*pieces, STOP, DONE) if streamed else whole)
    async with world.router(server, backend={"split_think": True}) as router:
        if streamed:
            said = await events(router, asking("hi"))
            parted = (reasoning_of(said), text_of(said))
        else:
            message = (await answer(router, asking("hi"))).completion.choices[0].message
            parted = (message.reasoning, message.text)
    assert parted == ("why", "because")


@both_ways
async def test_a_think_tag_is_left_where_nobody_asked(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    text = "<think>why</think>because"
    server.script(stream(chunk(text), STOP, DONE) if streamed else completion(text))
    assert await say(router, asking("hi"), streamed=streamed) == text


SIGNS = [b"\n", b"\n\n", b": keep-alive\n\n", b": OPENROUTER PROCESSING\n\n"]


@both_ways
async def test_blank_lines_and_comments_keep_a_connection_open(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    whole = completion("Hello").steps
    server.script(
        stream(*SIGNS, chunk("Hel"), *SIGNS, chunk("lo"), STOP, *SIGNS, DONE)
        if streamed
        else Answer((*SIGNS, *whole))
    )
    assert await say(router, asking("hi"), streamed=streamed) == "Hello"


async def test_signs_of_life_before_the_first_token_are_no_silence(
    world: World, server: OpenAIServer
) -> None:
    server.script(stream(SIGNS[2], 0.3, chunk(""), 0.3, chunk("Hello"), STOP, DONE))
    limits = {"idle_seconds": 0.1, "first_token_seconds": 5.0}
    async with world.router(server, backend=limits) as router:
        assert text_of(await events(router, asking("hi"))) == "Hello"


@both_ways
async def test_an_error_under_200_is_an_error(
    world: World, server: OpenAIServer, other: OpenAIServer, streamed: bool
) -> None:
    broke = {"error": {"code": 502, "message": "provider is down", "metadata": {}}}
    server.script(stream(event(broke)) if streamed else reply(broke))
    async with world.router(server, other) as router:
        assert await say(router, asking("hi"), streamed=streamed) == "Hello there"
    assert (await world.metrics.record()).attempts[0].error == "provider is down"


@both_ways
async def test_a_limit_under_200_is_a_limit(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    slow = {"error": {"code": 429, "message": "slow down"}}
    server.script(stream(event(slow)) if streamed else reply(slow))
    error = await failure(say(router, asking("hi"), streamed=streamed))
    assert (error.reason, error.meaning.http) == ("RATE_LIMITED", 429)


async def test_an_error_in_the_middle_with_a_reason_beside_it(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    broke = chunk("", finish="error", error={"code": 502, "message": "provider is down"})
    server.script(stream(chunk("Hel"), broke))
    error = await failure(events(router, asking("hi")))
    assert (error.reason, "provider is down" in error.message) == ("UPSTREAM_FAILED", True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"retry_after_ms": "1500"}, "1.5"),
        ({"retry_after": "2.5"}, "2.5"),
        ({"retry_after": "7"}, "7"),
    ],
    ids=["thousandths", "parts", "whole"],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_when_to_come_back_is_told_however_it_is_written(
    router: RouterServiceStub,
    server: OpenAIServer,
    header: dict[str, str],
    seconds: str,
    status: int,
) -> None:
    server.script(reply({"error": "busy"}, status, **header))
    error = await failure(answer(router, asking("hi")))
    assert error.metadata["retry_after_seconds"] == seconds


async def test_a_stream_where_none_was_asked_for_is_the_backends_fault(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(streamed("Hello"))
    error = await failure(answer(router, asking("hi")))
    assert error.reason == "UPSTREAM_FAILED"


async def test_a_connection_cut_in_the_middle(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(stream(chunk("Hel"), Step.CUT))
    assert (await failure(events(router, asking("hi")))).reason == "UPSTREAM_FAILED"
