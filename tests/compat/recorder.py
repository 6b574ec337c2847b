"""A reverse proxy between clients and lair that keeps what passes: for tests only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

_T = TypeVar("_T", bound=AbstractAsyncContextManager[Any])
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "upgrade"})
_START_SECONDS = 30.0


@dataclass(slots=True)
class Exchange:
    """A request and its reply, as they passed."""

    method: str
    path: str
    body: bytes
    request_headers: Mapping[str, str]
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    reply: bytes = b""
    # Whether the reply came to its end; false where the client left before.
    complete: bool = False

    @property
    def name(self) -> str:
        """What it was, for people."""
        return f"{self.method} {self.path} {self.status}"

    @property
    def content_type(self) -> str:
        """The reply's media type alone."""
        return self.headers.get("content-type", "").partition(";")[0]


class Recorder:
    """Passes everything to `target`, byte by byte as it comes, while it is entered."""

    def __init__(self, target: str) -> None:
        self.exchanges: list[Exchange] = []
        self.url = ""
        self._target = target
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            auto_decompress=False, timeout=aiohttp.ClientTimeout(total=120)
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        assert self._session
        await self._session.close()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        exchange = Exchange(
            request.method, request.raw_path.partition("?")[0], body, request.headers
        )
        self.exchanges.append(exchange)
        assert self._session
        sent = self._session.request(
            request.method,
            URL(self._target + request.raw_path, encoded=True),  # `a%2Fb` stays what it is
            headers=_end_to_end(request.headers),
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
        )
        async with sent as answer:
            exchange.status, exchange.headers = answer.status, answer.headers
            reply = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
            await reply.prepare(request)
            async for piece in answer.content.iter_any():
                exchange.reply += piece
                try:
                    await reply.write(piece)
                except ConnectionError:  # the client left, and so do we
                    return reply
        exchange.complete = True
        with suppress(ConnectionError):  # a client that has all it wants may leave at [DONE]
            await reply.write_eof()
        return reply


@contextmanager
def entered(*served: _T) -> Iterator[tuple[_T, ...]]:
    """Enter asynchronous servers in a thread of their own, for callers without an event loop."""
    stop = asyncio.Event()
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for each in served:
                await stack.enter_async_context(each)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(_START_SECONDS)
        yield served
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def _end_to_end(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP]
