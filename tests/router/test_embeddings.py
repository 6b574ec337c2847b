"""Vectors: asked for in the shortest form, in order, from the first backend that can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lair.metrics.v1.usage_pb2 import (
    STATUS_CLIENT_CANCELLED,
    STATUS_INVALID_REQUEST,
    STATUS_NO_BACKEND,
    STATUS_OK,
    STATUS_UPSTREAM_ERROR,
    USAGE_SOURCE_ESTIMATED,
    USAGE_SOURCE_UPSTREAM,
)
from lair.router.v1.router_service_pb2 import ListBackendsRequest
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.backends.embedding_json import encode_embedding_request, parse_embeddings
from router_svc.model import UpstreamError
from tests.fakes.answers import Answer, Step, greeting, reply
from tests.fakes.openai_server import OpenAIServer
from tests.router.texts import (
    counted,
    embed,
    embedding,
    in_base64,
    numbers,
    unpacked,
    vectors,
)
from tests.router.world import World, answer, asking, failure

NO_VECTORS = {"error": {"message": "This server does not support embeddings", "code": 501}}
PROMPT_SECONDS = 5.0
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.fixture(autouse=True)
def both_count(server: OpenAIServer, other: OpenAIServer) -> None:
    server.script(counted)
    other.script(counted)


@pytest.fixture
async def pair(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> AsyncIterator[RouterServiceStub]:
    """Give a router over `server`, which is asked first, and `other`."""
    async with world.router(server, other) as stub:
        yield stub


# -- the wire ------------------------------------------------------------------


def read(*items: Any, count: int | None = None, **fields: Any) -> list[list[float]]:
    call = embedding(*(["x"] * (len(items) if count is None else count)), **fields)
    [payload] = vectors(*items).steps
    assert isinstance(payload, bytes)
    return [unpacked(e.float32_values) for e in parse_embeddings(payload, call, "m").embeddings]


@given(st.lists(st.lists(FLOATS, min_size=1, max_size=6), min_size=1, max_size=4), st.data())
def test_vectors_are_read_exactly_in_either_form_and_any_order(
    expected: list[list[float]], data: st.DataObject
) -> None:
    items = [
        {"index": n, "embedding": data.draw(st.sampled_from([vector, in_base64(vector)]))}
        for n, vector in enumerate(expected)
    ]
    assert read(*data.draw(st.permutations(items))) == expected


def test_vectors_without_an_index_are_in_the_order_of_the_inputs() -> None:
    assert read({"embedding": [1.0]}, {"embedding": [2.0]}) == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("items", "count"),
    [
        ([[1.0]], 2),
        ([[1.0], [2.0]], 1),
        ([], 1),
        ([[]], 1),
        ([[[1.0], [2.0]]], 1),
        ([["1"]], 1),
        ([[1e39]], 1),
        ([[None]], 1),
        (["AAA="], 1),
        (["not base64!"], 1),
        (["AADAfw=="], 1),
        ([{"index": 0}], 1),
        ([{"index": 1, "embedding": [1.0]}], 1),
        ([{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [2.0]}], 2),
        ([{"index": "a", "embedding": [1.0]}], 1),
    ],
    ids=[
        "too few", "too many", "none", "empty", "nested", "text", "too large", "null",
        "half a number", "no base64", "not a number", "no vector", "holes", "twice", "odd index",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_the_backends_failure(items: list[Any], count: int) -> None:
    with pytest.raises(UpstreamError) as caught:
        read(*items, count=count)
    assert (caught.value.reason, caught.value.try_next) == ("UPSTREAM_FAILED", True)


def test_vectors_of_another_size_than_asked_for_are_refused() -> None:
    assert read([1.0, 2.0], dimensions=2) == [[1.0, 2.0]]
    with pytest.raises(UpstreamError, match=r"have 2 numbers.* and not 3") as caught:
        read([1.0, 2.0], dimensions=3)
    assert (caught.value.reason, caught.value.try_next) == ("UPSTREAM_REJECTED", True)


def test_a_request_is_written_with_what_only_the_client_knows() -> None:
    call = embedding("a", [1, 2], dimensions=8, extra_json=b'{"user": "u", "model": "theirs"}')
    assert json.loads(encode_embedding_request(call, "m", as_base64=True)) == {
        "model": "m",
        "input": ["a", [1, 2]],
        "dimensions": 8,
        "encoding_format": "base64",
        "user": "u",
    }


@pytest.mark.parametrize(("item", "written"), [("a", "a"), ([1, 2], [1, 2])])
def test_a_single_input_is_no_list_of_one(item: Any, written: Any) -> None:
    body = json.loads(encode_embedding_request(embedding(item), "m", as_base64=False))
    assert body["input"] == written


# -- asking --------------------------------------------------------------------


async def test_vectors_come_with_who_made_them(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    response = await embed(router, embedding("a", "b"))
    assert numbers(response) == [[0.0, 0.5], [1.0, 0.5]]
    assert (response.route.backend, response.route.model) == ("a", "tiny")
    assert response.route.reason == "model tiny"
    assert response.result.usage.prompt_tokens == 4
    [received] = server.received
    assert (received.path, received.body["encoding_format"]) == ("/v1/embeddings", "base64")


async def test_the_vendors_fields_come_back(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    item = {"index": 0, "embedding": [1.0], "encoding_format": "float", "truncated": True}
    server.script(vectors(item, id="e1"))
    result = (await embed(router, embedding("a"))).result
    assert json.loads(result.extra_json) == {"id": "e1"}
    assert json.loads(result.embeddings[0].extra_json) == {"truncated": True}


async def test_a_server_that_refuses_base64_is_asked_for_lists_from_then_on(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    refusal = reply({"detail": [{"loc": ["body", "encoding_format"], "msg": "must be float"}]}, 422)
    server.script(refusal, counted)
    for _ in range(2):
        assert numbers(await embed(router, embedding("a"))) == [[0.0, 0.5]]
    formats = [received.body["encoding_format"] for received in server.received]
    assert formats == ["base64", "float", "float"]


async def test_ollama_makes_vectors_by_the_api_it_shares(
    world: World, server: OpenAIServer
) -> None:
    ollama = {"kind": "ollama", "models": ["tiny"]}
    async with world.router(server, backend=ollama) as router:
        assert numbers(await embed(router, embedding("a"))) == [[0.0, 0.5]]
    assert server.received[0].path == "/v1/embeddings"


async def test_auto_takes_a_model_for_vectors(world: World, server: OpenAIServer) -> None:
    async with OpenAIServer("nomic-embed-text") as embedder:
        embedder.script(counted)
        async with world.router(server, embedder) as router:
            response = await embed(router, embedding("a", model=""))
    assert (response.route.backend, response.route.model) == ("b", "nomic-embed-text")
    assert not server.received


# -- fallback ------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        reply({"error": "boom"}, 500),
        reply({"error": "busy"}, 429),
        reply(NO_VECTORS, 501),
        reply({"error": "not found"}, 404),
        reply({"error": "method not allowed"}, 405),
        reply(b"<html>"),
        vectors(),
        vectors([1.0], [2.0]),
        Answer((), before=(Step.CUT,)),
    ],
    ids=["500", "429", "501", "404", "405", "html", "none", "too many", "cut"],
)
async def test_a_failure_moves_on_to_the_next_backend(
    world: World, pair: RouterServiceStub, server: OpenAIServer, fault: Answer
) -> None:
    server.script(fault)
    response = await embed(pair, embedding("a"))
    assert numbers(response) == [[0.0, 0.5]]
    assert (response.route.backend, response.route.fallback_count) == ("b", 1)
    record = await world.metrics.record()
    assert [a.backend for a in record.attempts] == ["a", "b"]
    assert record.status == STATUS_OK


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_for_chats_is_none_the_worse_for_having_no_vectors(
    world: World, pair: RouterServiceStub, server: OpenAIServer, status: int
) -> None:
    server.script(reply(NO_VECTORS, status))
    for _ in range(8):
        await embed(pair, embedding("a"))
    backends = (await pair.ListBackends(ListBackendsRequest(), timeout=5)).backends
    assert backends[0].resting == ""


async def test_the_clients_own_mistake_is_not_tried_elsewhere(
    world: World, pair: RouterServiceStub, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(reply({"error": {"message": "Input content cannot be empty"}}, 400))
    error = await failure(embed(pair, embedding("")))
    assert (error.reason, error.message) == (
        "UPSTREAM_REJECTED",
        "a: Input content cannot be empty",
    )
    assert not other.received
    assert (await world.metrics.record()).status == STATUS_INVALID_REQUEST


async def test_where_all_fail_all_who_were_asked_are_told(
    world: World, pair: RouterServiceStub, server: OpenAIServer, other: OpenAIServer
) -> None:
    for each in (server, other):
        each.script(reply({"error": "boom"}, 500))
    error = await failure(embed(pair, embedding("a")))
    assert (error.reason, error.metadata["backends"]) == ("UPSTREAM_FAILED", "a, b")
    record = await world.metrics.record()
    assert (record.status, record.http_status) == (STATUS_UPSTREAM_ERROR, 502)


async def test_a_kind_that_makes_no_vectors_is_never_asked(world: World) -> None:
    async with world.router() as router:
        error = await failure(embed(router, embedding("a", model="lair/recall")))
        backends = (await router.ListBackends(ListBackendsRequest(), timeout=5)).backends
    assert error.reason == "NO_BACKEND"
    assert "able to make vectors" in error.message
    assert [backend.last_error for backend in backends] == [""]
    record = await world.metrics.record()
    assert (record.status, len(record.attempts)) == (STATUS_NO_BACKEND, 0)


# -- outcome -------------------------------------------------------------------


async def test_the_record_of_a_request_for_vectors(world: World, router: RouterServiceStub) -> None:
    call = embedding("a", "b", request_id="r1", endpoint="/v1/embeddings")
    await embed(router, call)
    record = await world.metrics.record()
    assert (record.request_id, record.endpoint) == ("r1", "/v1/embeddings")
    assert (record.caller.user_id, record.conversation_id) == ("ann", "")
    assert (record.requested_model, record.model, record.backend) == ("tiny", "tiny", "a")
    assert (record.status, record.http_status, record.streamed) == (STATUS_OK, 200, False)
    assert (record.usage.prompt_tokens, record.usage_source) == (4, USAGE_SOURCE_UPSTREAM)
    assert (record.new_message_count, record.finish_reason) == (0, "")
    assert record.duration_us >= record.upstream_us > 0
    assert not world.memory.turns


async def test_tokens_nobody_counted_are_estimated(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(vectors([1.0], usage=None))
    await embed(router, embedding("a"))
    record = await world.metrics.record()
    assert (record.usage.prompt_tokens, record.usage_source) == (1, USAGE_SOURCE_ESTIMATED)


async def test_an_untraced_request_leaves_no_record(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(counted, greeting)
    await embed(router, embedding("a", untraced=True))
    await answer(router, asking("hi", request_id="traced"))
    assert (await world.metrics.record()).request_id == "traced"


async def test_a_client_that_leaves_ends_the_upstream_at_once(
    world: World, router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(Answer((b"{", Step.HANG)))
    client = asyncio.create_task(embed(router, embedding("a")))
    received = await server.request(0)
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    async with asyncio.timeout(PROMPT_SECONDS):
        await received.ended.wait()
    assert received.disconnected
    assert (await world.metrics.record()).status == STATUS_CLIENT_CANCELLED


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (embedding(), "inputs"),
        (embedding("a", []), "inputs[1]"),
        (embedding("a", dimensions=0), "dimensions"),
    ],
)
async def test_a_grpc_callers_mistake_is_named(
    world: World, router: RouterServiceStub, server: OpenAIServer, call: Any, field: str
) -> None:
    error = await failure(embed(router, call))
    assert (error.reason, error.metadata) == ("INVALID_FIELD", {"field": field})
    assert not server.received
    assert (await world.metrics.record()).status == STATUS_INVALID_REQUEST
