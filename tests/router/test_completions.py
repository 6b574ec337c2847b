"""Text completions: written, read, relayed, counted as chats are, and never remembered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lair.metrics.v1.usage_pb2 import STATUS_CLIENT_CANCELLED, STATUS_OK, STATUS_UPSTREAM_ERROR
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.backends.completion_json import encode_completion_request, parse_text_completion
from router_svc.backends.flavours import Flavour
from router_svc.model import UpstreamError
from tests.fakes.answers import DONE, Answer, Step, event, reply, stream, usage_chunk
from tests.fakes.openai_server import OpenAIServer
from tests.router.texts import (
    complete,
    complete_stream,
    completed_text,
    completing,
    text_chunk,
    text_completion,
)
from tests.router.world import World, both_ways, failure, kinds, text_of

PROMPT_SECONDS = 5.0


def going_on(body: dict[str, Any]) -> Answer:
    """Go on with `one two`, streamed or not as the request asks."""
    if not body["stream"]:
        return text_completion("one two")
    end = text_chunk(finish="length")
    return stream(text_chunk("one"), text_chunk(" two"), end, usage_chunk(5, 2), DONE)


@pytest.fixture(autouse=True)
def both_go_on(server: OpenAIServer, other: OpenAIServer) -> None:
    server.script(going_on)
    other.script(going_on)


@pytest.fixture
async def pair(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> AsyncIterator[RouterServiceStub]:
    """Give a router over `server`, which is asked first, and `other`."""
    async with world.router(server, other) as stub:
        yield stub


# -- the wire ------------------------------------------------------------------


def test_a_request_is_written_with_all_that_the_client_said() -> None:
    call = completing(
        "a",
        suffix="z",
        max_tokens=0,
        temperature=0.0,
        n=2,
        best_of=3,
        echo=False,
        logprobs=1,
        stop=["x"],
        extra_json=b'{"top_k": 5, "stream_options": {}, "logit_bias": {"1": -100}}',
    )
    assert json.loads(encode_completion_request(call, "m", stream=True)) == {
        "model": "m",
        "prompt": "a",
        "suffix": "z",
        "max_tokens": 0,
        "temperature": 0.0,
        "n": 2,
        "best_of": 3,
        "echo": False,
        "logprobs": 1,
        "stop": ["x"],
        "top_k": 5,
        "logit_bias": {"1": -100},
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("prompts", "written"),
    [(["a"], "a"), (["a", "b"], ["a", "b"]), ([[1, 2]], [1, 2]), ([[1], [2]], [[1], [2]])],
)
def test_prompts_are_written_as_they_came(prompts: Any, written: Any) -> None:
    body = json.loads(encode_completion_request(completing(*prompts), "m", stream=False))
    assert body == {"model": "m", "prompt": written, "stream": False}


def test_usage_is_not_asked_for_where_the_question_is_refused() -> None:
    body = encode_completion_request(
        completing("a"), "m", stream=True, flavour=Flavour.TRANSFORMERS
    )
    assert "stream_options" not in json.loads(body)


def test_choices_are_ordered_and_keep_the_vendors_fields() -> None:
    choices = [
        {"index": 1, "text": "b", "finish_reason": "stop", "stop_reason": 9},
        {"index": 0, "text": "a", "finish_reason": "length", "logprobs": {"tokens": ["a"]}},
    ]
    [payload] = text_completion(choices=choices, timings={"n": 1}).steps
    assert isinstance(payload, bytes)
    answer = parse_text_completion(payload, "m")
    assert [(c.index, c.message.text, c.finish_reason) for c in answer.choices] == [
        (0, "a", "length"),
        (1, "b", "stop"),
    ]
    assert json.loads(answer.choices[0].logprobs_json) == {"tokens": ["a"]}
    assert json.loads(answer.choices[1].extra_json) == {"stop_reason": 9}
    assert json.loads(answer.extra_json) == {"timings": {"n": 1}}


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": ["a"]}',
        b'{"choices": [{"text": 3}]}',
        b'{"error": {"message": "boom"}, "choices": []}',
    ],
)
def test_what_is_no_completion_is_the_backends_failure(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        parse_text_completion(body, "m")
    assert caught.value.reason == "UPSTREAM_FAILED"


def test_an_answer_without_an_id_gets_one() -> None:
    assert parse_text_completion(b'{"choices": [{"text": "a"}]}', "m").id.startswith("cmpl-")


# -- an answer -----------------------------------------------------------------


async def test_a_text_is_completed_with_who_did_it(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    response = await complete(router, completing("zero"))
    assert response.completion.choices[0].message.text == "one two"
    assert (response.route.backend, response.route.reason) == ("a", "auto: up")
    [received] = server.received
    assert (received.path, received.body["prompt"]) == ("/v1/completions", "zero")


@both_ways
async def test_ollama_completes_texts_by_the_api_it_shares(
    world: World, server: OpenAIServer, streamed: bool
) -> None:
    ollama = {"kind": "ollama", "models": ["tiny"]}
    async with world.router(server, backend=ollama) as router:
        said = await completed_text(router, completing("zero", model="tiny"), streamed=streamed)
    assert said == "one two"
    assert server.received[0].path == "/v1/completions"


async def test_a_stream_of_text_has_the_events_of_a_chat(router: RouterServiceStub) -> None:
    said = await complete_stream(router, completing("zero"))
    assert kinds(said) == ["started", "delta", "delta", "finish", "completed"]
    assert text_of(said) == "one two"
    assert said[0].started.route.backend == "a"
    assert (said[-2].finish.reason, said[-1].completed.usage.total_tokens) == ("length", 7)


# -- fallback ------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        reply({"error": "boom"}, 500),
        reply({"error": "not found"}, 404),
        Answer((), before=(Step.CUT,)),
        reply(b"<html>"),
    ],
    ids=["500", "404", "cut", "html"],
)
@both_ways
async def test_a_failure_before_the_first_text_moves_on(
    world: World, pair: RouterServiceStub, server: OpenAIServer, fault: Answer, streamed: bool
) -> None:
    server.script(fault)
    assert await completed_text(pair, completing("zero"), streamed=streamed) == "one two"
    record = await world.metrics.record()
    assert [attempt.backend for attempt in record.attempts] == ["a", "b"]
    assert (record.backend, record.status) == ("b", STATUS_OK)


@pytest.mark.parametrize(
    "fault",
    [(Step.CUT,), (), (event({"error": {"message": "boom"}}),), (event("{"),)],
    ids=["cut", "end without a reason", "error", "junk"],
)
async def test_a_failure_after_the_first_text_is_its_end(
    world: World,
    pair: RouterServiceStub,
    server: OpenAIServer,
    other: OpenAIServer,
    fault: tuple[Any, ...],
) -> None:
    server.script(stream(text_chunk("one"), *fault))
    error = await failure(complete_stream(pair, completing("zero")))
    assert error.reason == "UPSTREAM_FAILED"
    assert not other.received
    record = await world.metrics.record()
    assert record.status == STATUS_UPSTREAM_ERROR
    assert record.first_token_us > 0


@both_ways
async def test_recall_completes_no_texts(world: World, streamed: bool) -> None:
    async with world.router() as router:
        error = await failure(completed_text(router, completing("zero"), streamed=streamed))
    assert error.reason == "NO_BACKEND"
    assert "able to complete a text" in error.message


# -- outcome -------------------------------------------------------------------


@both_ways
async def test_the_record_of_a_completion(
    world: World, router: RouterServiceStub, streamed: bool
) -> None:
    call = completing("zero", request_id="r1", endpoint="/v1/completions")
    await completed_text(router, call, streamed=streamed)
    record = await world.metrics.record()
    assert (record.request_id, record.endpoint) == ("r1", "/v1/completions")
    assert (record.requested_model, record.model, record.backend) == ("auto", "tiny", "a")
    assert (record.status, record.streamed, record.finish_reason) == (STATUS_OK, streamed, "length")
    assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (5, 2)
    assert record.HasField("first_token_us") == streamed
    assert record.new_message_count == 0
    assert not world.memory.turns
    assert not world.memory.history_requests


@both_ways
async def test_a_client_that_leaves_ends_the_upstream_at_once(
    world: World, router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    server.script(stream(text_chunk("one"), Step.HANG) if streamed else Answer((b"{", Step.HANG)))
    client = asyncio.create_task(completed_text(router, completing("zero"), streamed=streamed))
    received = await server.request(0)
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    async with asyncio.timeout(PROMPT_SECONDS):
        await received.ended.wait()
    assert received.disconnected
    assert (await world.metrics.record()).status == STATUS_CLIENT_CANCELLED


@both_ways
async def test_a_call_without_a_prompt_is_the_clients_mistake(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    error = await failure(completed_text(router, completing(), streamed=streamed))
    assert (error.reason, error.metadata) == ("INVALID_FIELD", {"field": "prompts"})
    assert not server.received
