"""Binding, refusing and draining."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from gateway.main import serving
from svckit.channels import connect
from svckit.grpc_server import ServeError
from svckit.settings import Gateway, Settings
from tests.gateway.conftest import Stack
from tests.gateway.scripted import completed, delta, finish, started


async def refusal(**gateway) -> str:
    async with connect("127.0.0.1:1") as channel:
        with pytest.raises(ServeError) as raised:
            async with serving(
                Settings(gateway=Gateway(**gateway)),
                router=channel,
                memory=channel,
                metrics=channel,
            ):
                pass
    return str(raised.value)


async def test_a_port_in_use_is_told_in_one_line_with_what_to_change(stack: Stack):
    port = int(stack.url.rsplit(":", 1)[1])
    message = await refusal(port=port)
    assert "\n" not in message
    assert str(port) in message
    assert "gateway.port" in message
    assert "--port" in message


async def test_an_address_of_another_machine_is_told_likewise(unused_tcp_port):
    message = await refusal(host="192.0.2.1", port=unused_tcp_port, no_auth=True)
    assert f"192.0.2.1:{unused_tcp_port}" in message


async def test_an_open_address_needs_a_word_that_it_is_meant(unused_tcp_port):
    assert "gateway.no_auth" in await refusal(host="0.0.0.0", port=unused_tcp_port)


async def test_a_stop_lets_a_stream_finish_and_accepts_nothing_new():
    more = asyncio.Event()
    stack = Stack()
    stack.router.steps = [[started(), delta("Hel")], more, [delta("lo"), finish(), completed()]]
    running = stack.running(drain_seconds=10)
    await running.__aenter__()
    # The session of the stack is closed with it, so the reading client has its own.
    async with aiohttp.ClientSession() as client:
        url = f"{stack.url}/v1/chat/completions"
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
        async with client.post(url, json=body) as reply:
            begin = await reply.content.readany()
            stopping = asyncio.ensure_future(running.__aexit__(None, None, None))
            while not await _refuses(stack.url):
                pass
            more.set()
            rest = await reply.content.read()
        await stopping
    assert b"Hel" in begin
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_a_stop_ends_what_outlasts_the_drain():
    stack = Stack()
    stack.router.steps = [[started(), delta("x")], asyncio.Event()]
    async with aiohttp.ClientSession() as client:
        async with stack.running(drain_seconds=0.2):
            url = f"{stack.url}/v1/chat/completions"
            body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
            reply = await client.post(url, json=body)
            await reply.content.readany()
            begin = asyncio.get_running_loop().time()
        took = asyncio.get_running_loop().time() - begin
        reply.close()
    assert 0.15 < took < 2
    assert stack.router.cancelled.is_set()


async def _refuses(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as client, client.get(url):
            return False
    except aiohttp.ClientConnectorError:
        return True


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/memory/conversations", {"Host": "evil.example"}),
        ("POST", "/v1/chat/completions", {"Origin": "https://evil.example"}),
        ("DELETE", "/memory/conversations/c", {"Origin": "https://evil.example"}),
    ],
)
async def test_a_strange_web_page_reaches_nothing(stack: Stack, method, path, headers):
    async with stack.http.request(method, stack.url + path, headers=headers) as reply:
        assert reply.status == 403
        assert (await reply.json())["error"]["type"] == "permission_error"
    assert stack.memory.requests == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8012", "[::1]:8012"])
async def test_every_name_of_this_machine_is_answered(stack: Stack, host):
    async with stack.http.get(f"{stack.url}/v1/models", headers={"Host": host}) as reply:
        assert reply.status == 200
