"""The recorder changes nothing of what passes, and keeps all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.compat.recorder import Recorder, entered
from tests.e2e.stack import request
from tests.fakes.answers import DONE, Step, chunk, reply, stream
from tests.fakes.openai_server import OpenAIServer

PATH = "/v1/chat/completions"


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer("tiny") as server:
        yield server


@pytest.fixture
async def recorder(server: OpenAIServer) -> AsyncIterator[Recorder]:
    async with Recorder(f"http://127.0.0.1:{server.port}") as recorder:
        yield recorder


async def test_a_request_and_its_reply_pass_as_they_are(
    server: OpenAIServer, recorder: Recorder
) -> None:
    server.documents["/v1/models/a/b:c"] = reply(b'{"id": "a/b:c" }', 201, x_own="1")
    sent = {"authorization": "Bearer k", "user-agent": "probe"}
    async with aiohttp.request(
        "GET", f"{recorder.url}/v1/models/a%2Fb:c?x=%2F", headers=sent
    ) as answer:
        assert (answer.status, await answer.read()) == (201, b'{"id": "a/b:c" }')
        assert answer.headers["x-own"] == "1"
    [exchange] = recorder.exchanges
    assert exchange.name == "GET /v1/models/a%2Fb:c 201"
    assert exchange.request_headers["authorization"] == "Bearer k"
    assert exchange.headers["x-own"] == "1"
    assert (exchange.reply, exchange.complete) == (b'{"id": "a/b:c" }', True)


async def test_a_stream_passes_as_it_comes(server: OpenAIServer, recorder: Recorder) -> None:
    released = asyncio.Event()
    first = chunk("Hel")
    server.script(stream(first, released, DONE))
    async with aiohttp.request("POST", recorder.url + PATH, json={"stream": True}) as answer:
        assert await answer.content.readexactly(len(first)) == first
        released.set()
        assert await answer.read() == DONE
    [exchange] = recorder.exchanges
    assert exchange.reply == first + DONE
    assert exchange.content_type == "text/event-stream"
    assert (await server.request(0)).headers["content-type"] == "application/json"


async def test_a_client_that_leaves_is_seen_behind(
    server: OpenAIServer, recorder: Recorder
) -> None:
    server.script(stream(chunk("Hel"), Step.HANG))
    async with aiohttp.request("POST", recorder.url + PATH, json={"stream": True}) as answer:
        await answer.content.readany()
    received = await server.request(0)
    await asyncio.wait_for(received.ended.wait(), 5)
    assert received.disconnected
    assert not recorder.exchanges[0].complete


def test_servers_live_in_a_thread_of_their_own() -> None:
    server = OpenAIServer("tiny")
    with entered(server):
        status, models = request("GET", f"{server.url}/models")
        assert (status, models["data"][0]["id"]) == (200, "tiny")
    assert request("GET", f"{server.url}/models")[0] == 0
