"""Answers in one piece that are kept alive on their way: `gateway.keepalive_whole`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from lair.router.v1.router_service_pb2 import EmbedResponse
from svckit.errors import ServiceError
from tests.gateway.conftest import Stack

FAILED = ServiceError("UPSTREAM_FAILED", "every backend failed: ollama", model="m", backends="o")


def slow(*, whole: bool = True) -> Any:
    """Serve with a keep-alive for each twentieth of a second."""
    return Stack().running(keepalive_seconds=0.05, keepalive_whole=whole)


async def held_until_kept_alive(stack: Stack, reply: aiohttp.ClientResponse) -> bytes:
    """Let the router answer once three keep-alives came; return all that came."""
    assert stack.router.hold
    begin = b""
    while len(begin) < 3:
        begin += await reply.content.readany()
    stack.router.hold.set()
    return begin + await reply.read()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/completions", {"prompt": "Hi"}),
    ],
)
async def test_a_slow_answer_begins_with_whitespace_and_is_json_all_the_same(path, body):
    async with slow() as stack:
        stack.router.hold = asyncio.Event()
        async with stack.http.post(stack.url + path, json=body) as reply:
            assert reply.status == 200
            assert reply.headers["content-type"] == "application/json"
            assert reply.headers["x-request-id"]
            answer = await held_until_kept_alive(stack, reply)
    assert answer.startswith(b"\n\n\n")
    assert "Hello!" in json.dumps(json.loads(answer)["choices"])


async def test_a_late_failure_is_an_error_body_under_status_200():
    async with slow() as stack:
        stack.router.hold = asyncio.Event()
        stack.router.answer = FAILED
        async with stack.chat() as reply:
            assert reply.status == 200
            answer = await held_until_kept_alive(stack, reply)
    error = json.loads(answer)["error"]
    assert (error["code"], error["message"]) == ("upstream_error", FAILED.message)


async def test_a_prompt_that_is_found_too_long_late_names_its_field():
    async with slow() as stack:
        stack.router.hold = asyncio.Event()
        stack.router.answer = ServiceError("CONTEXT_LENGTH_EXCEEDED", "too long")
        async with stack.http.post(f"{stack.url}/v1/completions", json={"prompt": "Hi"}) as reply:
            answer = await held_until_kept_alive(stack, reply)
    assert json.loads(answer)["error"]["param"] == "prompt"


async def test_an_early_answer_keeps_its_status_and_headers():
    async with slow() as stack:
        async with stack.chat() as reply:
            assert (reply.status, reply.headers["x-lair-backend"]) == (200, "ollama")
            assert (await reply.read()).startswith(b"{")
        stack.router.answer = FAILED
        async with stack.chat() as reply:
            assert reply.status == 502
        stack.router.vectors = EmbedResponse()
        async with stack.http.post(f"{stack.url}/v1/embeddings", json={"input": "Hi"}) as reply:
            assert (reply.status, (await reply.json())["object"]) == (200, "list")


async def test_a_client_that_leaves_while_it_is_kept_alive_ends_the_routers_call():
    async with slow() as stack:
        stack.router.hold = asyncio.Event()
        async with stack.chat() as reply:
            assert await reply.content.readany() == b"\n"
            reply.close()
        await asyncio.wait_for(stack.router.cancelled.wait(), 5)


async def test_unless_it_is_wished_for_a_slow_answer_comes_with_its_headers():
    async with slow(whole=False) as stack:
        stack.router.hold = asyncio.Event()
        stack.router.answer = FAILED
        asking = asyncio.ensure_future(stack.chat().__aenter__())
        await stack.router.asked.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asking), 0.2)
        stack.router.hold.set()
        async with await asking as reply:
            assert reply.status == 502
