"""A large body is parsed beside the event loop: small requests are answered meanwhile."""

from __future__ import annotations

import asyncio
import io
import threading

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.bodies import LARGE_BYTES, parsed, parser
from tests.gateway.conftest import Stack

MESSAGE = {"role": "user", "content": "What is in this sentence of some sixty characters?"}
LARGE = msgspec.json.encode({"messages": [MESSAGE] * 430_000})


async def test_while_a_large_chat_is_read_small_requests_are_answered():
    clock = asyncio.get_running_loop().time
    async with Stack().running(in_process=True) as stack:
        begin = clock()
        large = asyncio.ensure_future(_post(stack, LARGE))
        waits = []
        while not large.done():
            asked = clock()
            status, _ = await stack.get("/health")
            assert status == 200
            waits.append(clock() - asked)
        took = clock() - begin
        assert await large == 200
        [call] = stack.router.calls
    assert len(LARGE) > 30e6
    assert len(call.messages) == 430_000
    # Parsed in the loop, it makes one of them wait for most of the time.
    assert max(waits) < took / 2


async def test_the_fault_of_a_large_body_is_told_as_that_of_a_small_one(stack: Stack):
    messages = [*[MESSAGE] * 5000, {"role": "nobody", "content": "?"}]
    async with stack.chat(messages=messages) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["param"] == "messages[5000].role"
    async with stack.http.post(
        f"{stack.url}/v1/chat/completions", data=b'{"messages": [' + b" " * LARGE_BYTES
    ) as reply:
        assert reply.status == 400
        assert "not valid JSON" in (await reply.json())["error"]["message"]


@pytest.mark.parametrize(("size", "apart"), [(LARGE_BYTES, False), (LARGE_BYTES + 1, True)])
async def test_only_a_large_body_leaves_the_loop(size: int, apart: bool):
    async def handler(request: web.Request) -> web.Response:
        thread = await parsed(request, lambda _: threading.current_thread())
        return web.Response(text=str(thread is not threading.current_thread()))

    app = web.Application(client_max_size=2 * LARGE_BYTES)
    app.cleanup_ctx.append(parser)
    app.add_routes([web.post("/", handler)])
    async with TestClient(TestServer(app)) as client, client.post("/", data=b"x" * size) as reply:
        assert await reply.text() == str(apart)


async def _post(stack: Stack, body: bytes) -> int:
    async with stack.http.post(f"{stack.url}/v1/chat/completions", data=io.BytesIO(body)) as reply:
        await reply.read()
        return reply.status
