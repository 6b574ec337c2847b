"""The client side of every measurement: a closed loop over c connections.

Each connection sends its next request when it has the whole reply. The HTTP
client is a bare `asyncio.Protocol` on uvloop and runs in a process of its own,
so that it costs little and the same whatever it measures. `measure` starts that
process; the module run as a program is it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
import uvloop

PATH = "/v1/chat/completions"
REPLY_SECONDS = 30.0
_CHUNKED_END = b"\r\n0\r\n\r\n"
# Every chunk of the stub's text begins so, however the JSON around it is spaced.
_TEXT_CHUNK = b'" word'


class LoadError(Exception):
    """A reply was not what a correct server sends; the message shows it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: `chunks` is the length of the stream asked for, 0 for a whole reply."""

    port: int
    concurrency: int
    requests: int
    warmup: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Samples:
    """What was seen, warm-up left out.

    `first_ms` holds the times to the first SSE `data:`, empty for whole replies;
    `chunks` counts the chunks of text of all streams.
    """

    seconds: float
    latency_ms: list[float]
    first_ms: list[float]
    chunks: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply as it came: head, raw body, and when, on the clock `time.perf_counter`."""

    head: bytes
    body: bytes
    first: float
    last: float


def measure(load: Load) -> Samples:
    """Run `load` in a process of its own. Raises `LoadError`."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        cwd=Path(__file__).parent.parent,
        input=msgspec.json.encode(load),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise LoadError(lines[-1] if lines else f"the load generator ended with {done.returncode}")
    return msgspec.json.decode(done.stdout, type=Samples)


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that `percent` % of all samples do not exceed.

    Raises `ValueError` if there are no samples.
    """
    if not samples:
        raise ValueError("no samples, so no percentile")
    rank = math.ceil(len(samples) * percent / 100)
    return sorted(samples)[max(rank, 1) - 1]


async def run(load: Load) -> Samples:
    """Send the warm-up, then the requests that count."""
    request = chat_request(f"127.0.0.1:{load.port}", load.chunks)
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(Connection, "127.0.0.1", load.port))[1]
        for _ in range(load.concurrency)
    ]
    try:
        await _closed_loop(connections, request, load.warmup)
        began = time.perf_counter()
        replies = await _closed_loop(connections, request, load.requests)
        return _summary(load, time.perf_counter() - began, replies)
    finally:
        for connection in connections:
            connection.close()


def chat_request(host: str, chunks: int) -> bytes:
    """Return a chat request, complete with its head."""
    fields: dict[str, object] = {
        "model": "stub",
        "messages": [{"role": "user", "content": "Say something that takes a while to say."}],
    }
    if chunks:
        fields |= {"stream": True, "max_tokens": chunks}
    body = msgspec.json.encode(fields)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nUser-Agent: bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """A keep-alive HTTP/1.1 connection that carries one request at a time."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[Reply] | None = None
        self._received = bytearray()
        self._body_at = 0
        self._length: int | None = None
        self._first = 0.0

    async def ask(self, request: bytes) -> Reply:
        """Send `request` and return its reply. Raises `LoadError`."""
        self._received = bytearray()
        self._body_at = 0
        self._first = 0.0
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                return await self._waiter
        except TimeoutError:
            raise LoadError(f"no whole reply in {REPLY_SECONDS:.0f} s") from None

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to ask."""
        # uvloop's transport has the methods but not the base class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect the reply; note when its first event and its end came."""
        now = time.perf_counter()
        self._received += data
        if not self._body_at and not self._read_head():
            return
        if not self._first and b"data:" in self._received:
            self._first = now
        if self._is_complete() and self._waiter and not self._waiter.done():
            head, body = self._received[: self._body_at], self._received[self._body_at :]
            self._waiter.set_result(Reply(bytes(head), bytes(body), self._first, now))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that is under way."""
        if self._waiter and not self._waiter.done():
            seen = bytes(self._received[:200]).decode(errors="replace")
            self._waiter.set_exception(
                LoadError(f"the server hung up ({exc}) after {seen!r}; it must keep alive")
            )

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._body_at = end + 4
        head = bytes(self._received[:end]).lower()
        _, found, rest = head.partition(b"\r\ncontent-length:")
        self._length = int(rest.split(b"\r\n", 1)[0]) if found else None
        return True

    def _is_complete(self) -> bool:
        if self._length is None:
            return self._received.endswith(_CHUNKED_END)
        return len(self._received) >= self._body_at + self._length


async def _closed_loop(
    connections: list[Connection], request: bytes, count: int
) -> list[tuple[float, Reply]]:
    """Return the start and the reply of each of `count` requests."""
    turns = iter(range(count))
    replies: list[tuple[float, Reply]] = []

    async def work(connection: Connection, turns: Iterator[int]) -> None:
        for _ in turns:
            began = time.perf_counter()
            replies.append((began, await connection.ask(request)))

    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(work(connection, turns))
    return replies


def _summary(load: Load, seconds: float, replies: list[tuple[float, Reply]]) -> Samples:
    """Check the replies and reduce them to figures; off the clock, so it may take its time."""
    chunks = sum(count_chunks(reply, load.chunks) for _, reply in replies)
    return Samples(
        seconds=seconds,
        latency_ms=[(reply.last - began) * 1000 for began, reply in replies],
        first_ms=[(reply.first - began) * 1000 for began, reply in replies] if load.chunks else [],
        chunks=chunks,
    )


def count_chunks(reply: Reply, expected: int) -> int:
    """Return the chunks of text in a reply, or raise `LoadError` if it is not as asked for."""
    if not reply.head.startswith(b"HTTP/1.1 200 "):
        shown = (reply.head.split(b"\r\n", 1)[0] + b" " + reply.body[:200]).decode(errors="replace")
        raise LoadError(f"not a good reply: {shown}")
    if not expected:
        return 0
    body = dechunk(reply.body)
    count = body.count(_TEXT_CHUNK)
    if count != expected or b"data: [DONE]" not in body:
        tail = body[-200:].decode(errors="replace")
        raise LoadError(f"{count} of {expected} chunks came; the stream ended with: {tail}")
    return count


def dechunk(body: bytes) -> bytes:
    """Undo HTTP's chunked transfer coding."""
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end].split(b";", 1)[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[line_end + 2 : line_end + 2 + size])
        at = line_end + 2 + size + 2


def main() -> int:
    argparse.ArgumentParser(description="Read a Load as JSON, print Samples as JSON.").parse_args()
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    gc.disable()  # a collection in the middle of a reply would count as the server's time
    failure: BaseException | None = None
    try:
        sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(load))))
    except* (LoadError, OSError) as group:
        failure = group.exceptions[0]
    if failure:
        print(failure, file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
