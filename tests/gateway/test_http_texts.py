"""POST /v1/embeddings and /v1/completions over HTTP, and by the official client."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.embedding_pb2 import Embedding, EmbeddingList
from lair.router.v1.router_service_pb2 import EmbedResponse
from svckit.errors import ServiceError
from tests.gateway.conftest import Stack
from tests.gateway.requests import texts_of
from tests.gateway.scripted import ROUTE, completed, delta, finish, started

PROMPT_SECONDS = 5.0
TOO_LONG = ServiceError("CONTEXT_LENGTH_EXCEEDED", "too long", model="m", backend="b")


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    """Give a client that does not validate: it refuses base64, and chunks without a reason."""
    url = f"{stack.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def vectors(stack: Stack) -> None:
    packed = [struct.pack("<2f", 0.25, n) for n in (1.0, 2.0)]
    stack.router.vectors = EmbedResponse(
        result=EmbeddingList(
            model="nomic",
            embeddings=[Embedding(float32_values=values) for values in packed],
            usage=Usage(prompt_tokens=4, total_tokens=4),
        ),
        route=ROUTE,
    )


def post(stack: Stack, path: str, body: Any, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return stack.http.post(stack.url + path, json=body, headers=named)


# -- vectors -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
@pytest.mark.usefixtures("vectors")
async def test_vectors_come_with_who_made_them(stack: Stack, path: str):
    async with post(stack, path, {"input": ["a", "b"]}) as reply:
        assert reply.status == 200
        body = await reply.json()
        assert (reply.headers["x-lair-backend"], reply.headers["x-lair-fallbacks"]) == (
            "ollama",
            "1",
        )
        assert reply.headers["x-lair-memory"] == "off"
        assert "x-conversation-id" not in reply.headers
        request_id = reply.headers["x-request-id"]
    assert [item["embedding"] for item in body["data"]] == [[0.25, 1.0], [0.25, 2.0]]
    assert stack.router.calls[0].request_id == request_id


@pytest.mark.usefixtures("vectors")
async def test_a_request_for_vectors_carries_caller_and_hints(stack: Stack):
    hints = {"X_User_ID": "ann", "X_Provider": "ollama", "X_Enable_Tracing": "false"}
    async with post(stack, "/v1/embeddings", {"input": [[1, 2]], "model": "m"}, **hints):
        pass
    [call] = stack.router.calls
    assert (call.model, call.caller.user_id, call.route.backend) == ("m", "ann", "ollama")
    assert (call.endpoint, call.untraced) == ("/v1/embeddings", True)
    assert texts_of(call.inputs) == [[1, 2]]


@pytest.mark.usefixtures("vectors")
async def test_the_official_client_reads_base64_and_lists_alike(stack: Stack, client):
    by_default = await client.embeddings.create(model="m", input=["a", "b"])
    as_lists = await client.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
    assert [item.embedding for item in by_default.data] == [[0.25, 1.0], [0.25, 2.0]]
    assert by_default.data == as_lists.data
    assert by_default.usage.total_tokens == 4


@pytest.mark.parametrize(
    ("path", "param"), [("/v1/embeddings", "input"), ("/v1/completions", "prompt")]
)
async def test_a_prompt_that_is_too_long_is_named_by_its_field(stack: Stack, path, param):
    stack.router.vectors = stack.router.answer = TOO_LONG
    async with post(stack, path, {param: "x"}) as reply:
        assert reply.status == 400
        error = (await reply.json())["error"]
    assert (error["param"], error["code"]) == (param, "context_length_exceeded")


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/completions"])
async def test_a_bad_request_reaches_no_backend(stack: Stack, path):
    async with post(stack, path, {"input": "x", "prompt": "x", "model": 1}) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["param"] == "model"
    assert stack.router.calls == []


# -- completions ---------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/completions", "/completions"])
async def test_a_text_is_completed_with_who_did_it(stack: Stack, path: str):
    async with post(stack, path, {"prompt": "Say", "top_k": 5}, X_Project="p") as reply:
        assert reply.status == 200
        body = await reply.json()
        assert reply.headers["x-lair-backend"] == "ollama"
        assert reply.headers["x-lair-memory"] == "off"
    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "Hello!")
    [call] = stack.router.calls
    assert (call.endpoint, call.caller.project) == ("/v1/completions", "p")
    assert call.extra_json == b'{"top_k":5}'


async def test_the_official_client_reads_a_completion(stack: Stack, client):
    reply = await client.completions.create(model="auto", prompt=["a", "b"], echo=True)
    assert reply.choices[0].text == "Hello!"
    [call] = stack.router.calls
    assert (texts_of(call.prompts), call.echo) == (["a", "b"], True)


async def test_the_official_client_reads_a_stream_of_text(stack: Stack, client):
    usage = Usage(prompt_tokens=3, completion_tokens=2)
    stack.router.steps = [
        [started(), delta("B", index=1), delta("a")],
        [delta("A"), finish(), finish("length", index=1), completed(usage=usage)],
    ]
    stream = await client.completions.create(
        model="auto", prompt="x", n=2, stream=True, stream_options={"include_usage": True}
    )
    texts = {0: "", 1: ""}
    reasons = {}
    async for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    assert (texts, reasons) == ({0: "aA", 1: "B"}, {0: "stop", 1: "length"})
    assert chunk.usage.total_tokens == 5


async def test_a_stream_of_text_has_the_headers_of_a_chats(stack: Stack):
    stack.router.steps = [[started(), delta("a")], [finish(), completed()]]
    async with post(stack, "/v1/completions", {"prompt": "x", "stream": True}) as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.headers["x-lair-model"] == "qwen3:8b"
        assert (await reply.text()).endswith("data: [DONE]\n\n")


async def test_a_failure_before_the_first_text_is_a_status(stack: Stack):
    stack.router.steps = [TOO_LONG]
    async with post(stack, "/v1/completions", {"prompt": "x", "stream": True}) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["param"] == "prompt"


async def test_a_failure_within_the_text_is_its_last_event(stack: Stack, client):
    stack.router.steps = [[started(), delta("a")], ServiceError("UPSTREAM_FAILED", "ollama died")]
    stream = await client.completions.create(model="auto", prompt="x", stream=True)
    with pytest.raises(openai.APIError, match="ollama died"):
        async for _ in stream:
            pass


async def test_silence_is_filled_with_comments():
    gate = asyncio.Event()
    async with Stack().running(keepalive_seconds=0.02) as stack:
        stack.router.steps = [gate, [started(), delta("a"), finish(), completed()]]
        async with post(stack, "/v1/completions", {"prompt": "x", "stream": True}) as reply:
            assert await reply.content.readline() == b": keep-alive\n"
            gate.set()
            assert b'"text":"a"' in await reply.content.read()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_leaves_ends_the_call(stack: Stack, streamed):
    stack.router.hold = asyncio.Event()
    stack.router.steps = [stack.router.hold]
    body = {"prompt": "x", "stream": streamed}
    client = asyncio.create_task(_read(post(stack, "/v1/completions", body)))
    async with asyncio.timeout(PROMPT_SECONDS):
        await stack.router.asked.wait()
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        await stack.router.cancelled.wait()


async def _read(reply: Any) -> None:
    async with reply as open_reply:
        await open_reply.read()
