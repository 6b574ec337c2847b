"""Processes that die, clients that leave, a stop in mid-stream: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.e2e.stack import Lair, eventually, get, lair_up, request

REQUESTS = 240
END_OF_STREAM = b"data: [DONE]\n\n\r\n0\r\n\r\n"  # in HTTP's chunked framing


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "slow"}
    return b"data: " + json.dumps({**body, "choices": [choice]}).encode() + b"\n\n"


class SlowBackend:
    """Streams one word every 0.1 s after `silence` seconds; notes clients that leave."""

    def __init__(self) -> None:
        self.silence = 0.0
        self.words = 40
        self.left_after: list[float] = []

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "slow", "object": "model"}]})

    async def chat(self, http: web.Request) -> web.StreamResponse:
        await http.read()
        begun = time.monotonic()
        try:
            await asyncio.sleep(self.silence)
            reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await reply.prepare(http)
            for number in range(self.words):
                await reply.write(chunk({"content": f"{number} "}))
                await asyncio.sleep(0.1)
            await reply.write(chunk({}, "stop") + b"data: [DONE]\n\n")
        except (asyncio.CancelledError, ConnectionError):
            self.left_after.append(time.monotonic() - begun)
            raise
        return reply


@contextmanager
def slow_backend() -> Iterator[tuple[SlowBackend, str]]:
    """Serve a slow backend in a thread of its own."""
    slow = SlowBackend()
    ready = threading.Event()
    address: list[str] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        app = web.Application()
        app.add_routes([web.get("/v1/models", slow.models)])
        app.add_routes([web.post("/v1/chat/completions", slow.chat)])
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        address.append(f"http://{host}:{port}/v1")
        ready.set()
        try:
            await stop.wait()
        finally:
            await runner.cleanup()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(10)
    try:
        yield slow, address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def counted(lair: Lair) -> list[dict[str, Any]]:
    """Return every counted request."""
    records: list[dict[str, Any]] = []
    token = ""
    while True:
        page = lair.get(f"/metrics/recent?limit=500&page_token={token}")
        records += page["requests"]
        token = page["next_page_token"] or ""
        if not token:
            return records


def test_killed_services_come_back_and_every_request_is_kept_once(
    llama: str, tmp_path: Path
) -> None:
    with lair_up(tmp_path, backends={"tiny": llama}) as lair:

        def one(number: int) -> str:
            reply = lair.chat(f"Count to {2 + number % 9}", X_Conversation_ID=f"conv-{number}")
            return str(reply["choices"][0]["message"]["content"])

        with ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(one, number) for number in range(REQUESTS)]
            for service in ("memory", "metrics"):
                eventually(
                    lambda share=(1 if service == "memory" else 2): (
                        sum(a.done() for a in answers) > share * REQUESTS // 4
                    ),
                    seconds=60,
                )
                killed = lair.child(service)
                killed.send_signal(signal.SIGKILL)
                eventually(
                    lambda: get(f"{lair.url}/health")[1]["status"] == "degraded",
                    what="health says degraded",
                )
                eventually(
                    lambda: get(f"{lair.url}/health")[1]["status"] == "ok",
                    seconds=30,
                    what="health says ok again",
                )
            texts = [answer.result() for answer in answers]
        assert all(text.startswith("1 2") for text in texts)

        eventually(lambda: len(counted(lair)) >= REQUESTS, seconds=20, what="all are counted")
        ids = [record["request_id"] for record in counted(lair)]
        assert len(ids) == len(set(ids)) == REQUESTS
        for number in range(REQUESTS):
            path = f"{lair.url}/memory/conversations/conv-{number}"
            status, body = eventually(lambda path=path: (r := get(path))[0] == 200 and r)
            assert status == 200
            assert [m["role"] for m in body["messages"]] == ["user", "assistant"], number


def test_a_stream_survives_sigterm_and_the_exit_is_clean(tmp_path: Path) -> None:
    with slow_backend() as (_, url), lair_up(tmp_path, backends={"slow": url}) as lair:
        lines: list[bytes] = []
        begun = threading.Event()

        def read() -> None:
            for line in stream(lair, "go"):
                lines.append(line)
                begun.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert begun.wait(15)
        code = lair.terminate()
        reader.join(10)
        assert code == 0, lair.output()
        text = b"".join(lines)
        assert b"39 " in text
        assert text.endswith(END_OF_STREAM)


def test_a_client_that_leaves_before_the_first_token_ends_the_upstream_request(
    tmp_path: Path,
) -> None:
    with slow_backend() as (slow, url), lair_up(tmp_path, backends={"slow": url}) as lair:
        slow.silence = 6.0
        for streamed in (True, False):
            slow.left_after.clear()
            body = {"model": "auto", "stream": streamed, "messages": [user("go")]}
            with post_raw(lair, body) as connection:
                time.sleep(1.0)
                connection.shutdown(socket.SHUT_RDWR)
            eventually(lambda: slow.left_after, seconds=3, what="the upstream request ends")
            assert slow.left_after[0] < 2.0, "within a second of the client's leaving"
        records = eventually(lambda: (r := counted(lair)) and len(r) == 2 and r)
        assert [r["status"] for r in records] == ["client_cancelled"] * 2
        assert {r["backend"] for r in records} == {"slow"}


def test_a_killed_edge_comes_back_and_loses_no_finished_request(llama: str, tmp_path: Path) -> None:
    with lair_up(tmp_path, backends={"tiny": llama}) as lair:
        for number in range(10):
            lair.chat("Say hello", X_Conversation_ID=f"c{number}")
        lair.child("edge").send_signal(signal.SIGKILL)
        eventually(lambda: len(counted_or_none(lair)) == 10, seconds=30, what="all are counted")
        assert lair.chat("Say hello")["choices"][0]["finish_reason"] == "stop"


def counted_or_none(lair: Lair) -> list[Any]:
    status, body = get(f"{lair.url}/metrics/recent?limit=500")
    return list(body["requests"]) if status == 200 else []


def test_children_end_with_their_supervisor(tmp_path: Path) -> None:
    with lair_up(tmp_path) as lair:
        children = [lair.child(name) for name in ("edge", "memory", "metrics")]
        lair.process.kill()
        lair.process.wait()
        eventually(lambda: not any(c.is_running() for c in children), seconds=15)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def stream(lair: Lair, text: str) -> Iterator[bytes]:
    """Stream a chat; yield its lines."""
    body = {"model": "auto", "stream": True, "messages": [user(text)]}
    with post_raw(lair, body) as connection, connection.makefile("rb") as reply:
        yield from reply


@contextmanager
def post_raw(lair: Lair, body: dict[str, Any]) -> Iterator[socket.socket]:
    """Send a chat over a socket of its own, which a test can cut."""
    payload = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{lair.port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n"
        "connection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", lair.port)) as connection:
        connection.sendall(head.encode() + payload)
        yield connection


@pytest.mark.parametrize("mode", ["--separate", "--single-process"])
def test_other_shapes_of_processes_do_the_same(mode: str, llama: str, tmp_path: Path) -> None:
    with lair_up(tmp_path, mode, backends={"tiny": llama}) as lair:
        lair.chat("My favourite colour is gold.", X_Conversation_ID="c")
        reply = lair.chat("What is my favourite colour?", X_Conversation_ID="c")
        assert "gold" in reply["choices"][0]["message"]["content"]
        assert b"".join(stream(lair, "Count to 3")).endswith(END_OF_STREAM)
        eventually(lambda: len(counted(lair)) == 3)
        status, _ = request("DELETE", f"{lair.url}/memory/conversations/c")
        assert status == 200
        assert get(f"{lair.url}/memory/conversations/c")[0] == 404
        assert lair.terminate() == 0
