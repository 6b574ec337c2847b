"""What other gateways were measured to do wrong on the wire, the router does right.

Those that concern the HTTP side alone are tested with the gateway.
"""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from lair.metrics.v1.usage_pb2 import STATUS_CLIENT_CANCELLED
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import (
    DONE,
    Answer,
    Step,
    chunk,
    event,
    greeting,
    reply,
    stream,
    streamed,
)
from tests.fakes.openai_server import OpenAIServer
from tests.router.streams import choice, deltas
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

STOP = chunk(finish="stop")
PROMPT_SECONDS = 1.0


@both_ways
async def test_unknown_fields_of_a_request_reach_the_backend_and_none_are_added(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    extra = {
        "min_p": 0.05,
        "x_custom": {"a": 1},
        "chat_template_kwargs": {"enable_thinking": False},
    }
    call = asking("hi", extra_json=json.dumps(extra).encode())
    await say(router, call, streamed=streamed)
    body = server.received[0].body
    assert {name: body[name] for name in extra} == extra
    ours = {"model", "messages", "stream"} | ({"stream_options"} if streamed else set())
    assert body.keys() == ours | extra.keys()


async def test_unknown_fields_of_an_answer_are_kept(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    message = {"role": "assistant", "content": "a", "x_message": 1}
    server.script(reply({"choices": [{"message": message, "x_choice": 2}], "x_reply": 3}))
    completion = (await answer(router, asking("hi"))).completion
    assert json.loads(completion.extra_json) == {"x_reply": 3}
    assert json.loads(completion.choices[0].extra_json) == {"x_choice": 2}
    assert json.loads(completion.choices[0].message.extra_json) == {"x_message": 1}


async def test_a_backend_without_a_key_is_sent_none(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    await answer(router, asking("hi"))
    assert not {"authorization", "x-api-key"} & {
        name.lower() for name in server.received[0].headers
    }


async def test_only_the_configured_key_is_sent(world: World, server: OpenAIServer) -> None:
    async with world.router(server, backend={"api_key": "sk-ours"}) as router:
        await answer(router, asking("hi"))
    assert server.received[0].headers["authorization"] == "Bearer sk-ours"


async def test_usage_is_asked_for_though_the_client_did_not_and_told_once(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    said = await events(router, asking("hi"))
    assert server.received[0].body["stream_options"] == {"include_usage": True}
    assert kinds(said).count("completed") == 1
    assert said[-1].completed.usage.total_tokens == 7


async def test_a_chunk_keeps_its_time_and_its_model(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    started = (await events(router, asking("hi")))[0].started
    assert (started.created, started.model) == (1700000000, "tiny")


async def test_reasoning_stays_reasoning(router: RouterServiceStub, server: OpenAIServer) -> None:
    server.script(stream(choice({"reasoning_content": "why"}), chunk("because"), STOP, DONE))
    said = await events(router, asking("hi"))
    assert [(delta.reasoning, delta.text) for delta in deltas(said)] == [
        ("why", ""),
        ("", "because"),
    ]


@both_ways
async def test_a_400_keeps_its_words(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    server.script(reply({"error": {"message": "n must be 1", "code": "bad_n"}}, 400))
    error = await failure(say(router, asking("hi"), streamed=streamed))
    assert (error.reason, error.message) == ("UPSTREAM_REJECTED", "a: n must be 1")
    assert error.metadata["upstream_status"] == "400"


@both_ways
async def test_a_429_is_handed_on_at_once_with_its_retry_after(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    server.script(reply({"error": {"message": "slow down"}}, 429, retry_after="7"))
    before = time.monotonic()
    error = await failure(say(router, asking("hi"), streamed=streamed))
    assert time.monotonic() - before < PROMPT_SECONDS
    assert (error.reason, error.metadata["retry_after_seconds"]) == ("RATE_LIMITED", "7")
    assert len(server.received) == 1


@both_ways
async def test_a_500_is_asked_for_once(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    server.script(reply({"error": {"message": "boom"}}, 500))
    error = await failure(say(router, asking("hi"), streamed=streamed))
    assert (error.reason, error.message) == ("UPSTREAM_FAILED", "a: HTTP 500: boom")
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "fault",
    [Step.CUT, event({"error": {"message": "out of memory"}}), event("{"), b""],
    ids=["cut", "error in band", "junk", "clean end"],
)
async def test_a_backend_that_dies_in_the_middle_is_an_error_and_no_end(
    router: RouterServiceStub, server: OpenAIServer, fault: bytes | Step
) -> None:
    gate = asyncio.Event()
    server.script(stream(chunk("Hel"), chunk("lo"), gate, fault))
    said = []

    async def listen() -> None:
        async for item in relayed(router, asking("hi")):
            said.append(item)
            if text_of(said) == "Hello":
                gate.set()

    error = await failure(listen())
    assert error.reason == "UPSTREAM_FAILED"
    assert text_of(said) == "Hello"
    assert not {"finish", "completed"} & set(kinds(said))


@pytest.mark.parametrize("slow", [Answer((), before=(Step.HANG,)), Answer((b"{", Step.HANG))])
@both_ways
async def test_a_client_that_leaves_ends_the_work_at_the_backend(
    world: World, router: RouterServiceStub, server: OpenAIServer, slow: Answer, streamed: bool
) -> None:
    server.script(slow)
    client = asyncio.create_task(say(router, asking("hi"), streamed=streamed))
    received = await server.request(0)
    left = time.monotonic()
    client.cancel()
    await asyncio.gather(client, return_exceptions=True)
    async with asyncio.timeout(PROMPT_SECONDS):
        await received.ended.wait()
    assert received.disconnected
    assert received.end_seconds - left < PROMPT_SECONDS
    assert (await world.metrics.record()).status == STATUS_CLIENT_CANCELLED


async def test_a_client_that_leaves_in_the_middle_ends_the_work_at_the_backend(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(stream(chunk("Hel"), Step.HANG))
    begun = asyncio.Event()

    async def listen() -> None:
        async for item in relayed(router, asking("hi")):
            if item.HasField("delta"):
                begun.set()

    client = asyncio.create_task(listen())
    async with asyncio.timeout(PROMPT_SECONDS):
        await begun.wait()
        client.cancel()
        await server.received[0].ended.wait()
    await asyncio.gather(client, return_exceptions=True)
    assert server.received[0].disconnected


@both_ways
async def test_an_unknown_model_is_unknown_and_reaches_no_backend(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    error = await failure(say(router, asking("hi", model="no-such"), streamed=streamed))
    assert (error.reason, error.meaning.http) == ("MODEL_NOT_FOUND", 404)
    assert not server.received


@both_ways
async def test_the_only_backend_is_asked_again_after_any_number_of_failures(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    server.script(*[reply({"error": "boom"}, 500)] * 12, greeting)
    for _ in range(12):
        error = await failure(say(router, asking("hi"), streamed=streamed))
        assert error.reason == "UPSTREAM_FAILED"
    assert await say(router, asking("hi"), streamed=streamed) == "Hello there"


async def test_comments_before_the_answer_are_passed_over(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(stream(b": OPENROUTER PROCESSING\n\n", *streamed("Hello").steps))
    assert text_of(await events(router, asking("hi"))) == "Hello"


async def test_an_error_before_the_first_token_moves_on(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(reply({"error": {"code": 503, "message": "no provider"}}, 503))
    async with world.router(server, other) as router:
        assert text_of(await events(router, asking("hi"))) == "Hello there"


async def test_a_look_at_the_backends_is_never_an_inference(
    world: World, server: OpenAIServer
) -> None:
    async with world.router(server, router={"probe_seconds": 0.02}):
        async with asyncio.timeout(5):
            while server.asked.count("/props") == 0:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.01)
    assert not server.received
