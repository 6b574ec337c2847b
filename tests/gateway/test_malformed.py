"""What is no valid HTTP is answered in JSON as any other mistake, and logged in one line."""

from __future__ import annotations

import asyncio
import json
import logging
from uuid import UUID

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.connection import Connection
from tests.gateway.conftest import Stack

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


async def answer_to(url: str, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes over a new connection and read until its end: status, headers, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            answer = await reader.read()
    finally:
        writer.close()
    head, body = answer.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"NONSENSE\r\n\r\n", "Invalid method"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTPS"),
        (b"GET / HTTP/9\r\n\r\n", "status line"),
        (b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n", "http://[::1 is no address"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", "than 65536 bytes"),
        (GET + b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n", "header is longer than"),
        (GET + b"X: 1\r\n" * 500 + b"\r\n", "Too many headers"),
        (GET + b"no colon\r\n\r\n", "header"),
        (POST + b"Content-Length: many\r\n\r\n", "Content-Length"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", "chunk size"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX\r\n0\r\n\r\n", "chunk data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_no_http_is_refused_in_the_words_of_the_api(
    stack: Stack, caplog: pytest.LogCaptureFixture, data: bytes, words: str
):
    with capture_logs() as logs, caplog.at_level(logging.WARNING):
        status, headers, body = await answer_to(stack.url, data)
    assert status == 400
    assert headers["content-type"] == "application/json"
    assert headers["x-should-retry"] == "false"
    error = json.loads(body)["error"]
    assert words in error["message"]
    assert "\n" not in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, None)
    [line] = logs
    assert (line["event"], line["error"]) == ("request refused", error["message"])
    assert UUID(line["request_id"]).version == 7
    assert line["request_id"] == headers["x-request-id"]
    assert caplog.records == []


async def test_a_fault_that_no_handler_caught_is_told_without_its_text():
    async def broken(_: web.Request) -> web.Response:
        raise RuntimeError("a secret")

    app = web.Application()
    app.add_routes([web.get("/", broken)])
    runner = web.AppRunner(app)
    await runner.setup()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(runner.server, loop=loop), "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        with capture_logs() as logs:
            status, headers, body = await answer_to(f"http://127.0.0.1:{port}", GET + b"\r\n")
    finally:
        server.close()
        await runner.cleanup()
    assert (status, headers["content-type"]) == (500, "application/json")
    assert json.loads(body)["error"]["code"] == "internal_error"
    assert b"secret" not in body
    assert headers["x-request-id"] in json.loads(body)["error"]["message"]
    assert [str(line["exc_info"]) for line in logs] == ["a secret"]


async def test_a_body_that_is_not_packed_as_it_says_is_refused_in_one_line(stack: Stack):
    packed = {"Content-Encoding": "gzip"}
    url = f"{stack.url}/v1/chat/completions"
    async with stack.http.post(url, data=b"no gzip", headers=packed) as reply:
        assert reply.status == 400
        message = (await reply.json())["error"]["message"]
    assert message == "the body cannot be read: Can not decode content-encoding: gzip"


async def test_a_host_that_is_no_name_is_a_strange_one(stack: Stack):
    async with stack.http.get(f"{stack.url}/v1/models", headers={"Host": "[::1"}) as reply:
        assert reply.status == 403
        assert "'[::1'" in (await reply.json())["error"]["message"]
