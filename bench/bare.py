"""The yardstick: the least a gateway on aiohttp and grpc.aio can do.

An HTTP front, a relay, an HTTP client to the model server; only bytes pass. No
JSON, no journal, no logs, no checks: what lair takes longer than this is the
price of what lair does. With `--hop` the relay is a process of its own, reached
over grpc.aio on loopback TCP (a generic service whose messages are plain bytes);
without, the front calls it directly.

Bytes of a stream that are already waiting travel in one message: a message for
each SSE line would cap a stream at a fraction of the rate.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import grpc
import uvloop
from aiohttp import web

from bench.processes import free_ports

SERVICE = "bare.Relay"
_JSON = {"Content-Type": "application/json"}


class Relay(Protocol):
    """Asks the model server; the bodies of request and reply are passed as they are."""

    def whole(self, body: bytes, /) -> Awaitable[bytes]:
        """Return the whole reply."""
        ...

    def stream(self, body: bytes, /) -> AsyncIterable[bytes]:
        """Yield the reply in the pieces it arrives in."""
        ...


@dataclass(frozen=True, slots=True)
class Upstream:
    """Asks the model server over HTTP."""

    session: aiohttp.ClientSession
    url: str

    async def whole(self, body: bytes) -> bytes:
        """Return the body of the reply."""
        async with self.session.post(self.url, data=body, headers=_JSON) as reply:
            return await reply.read()

    async def stream(self, body: bytes) -> AsyncIterator[bytes]:
        """Yield, each time, all bytes that have come since."""
        async with self.session.post(self.url, data=body, headers=_JSON) as reply:
            async for waiting in reply.content.iter_any():
                yield waiting


class Hop:
    """Asks a relay in another process over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.whole: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE}/Whole"
        )
        self.stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(
            f"/{SERVICE}/Stream"
        )


def front(relay: Relay) -> web.Application:
    """Build the HTTP side."""

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        # Looking for the flag is cheaper than parsing, and this must be cheap.
        if b'"stream":true' not in body:
            return web.Response(body=await relay.whole(body), content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async for waiting in relay.stream(body):
            await response.write(waiting)
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    return app


def back(relay: Relay) -> grpc.GenericRpcHandler:
    """Build the gRPC side."""

    async def whole(body: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return await relay.whole(body)

    async def stream(
        body: bytes, _: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        async for waiting in relay.stream(body):
            yield waiting

    handlers: dict[str, Any] = {
        "Whole": grpc.unary_unary_rpc_method_handler(whole),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
    }
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


async def serve_http(port: int, upstream: str, *, hop: bool) -> None:
    """Serve the front until SIGTERM; the relay is here, or in a child process."""
    async with AsyncExitStack() as stack:
        if hop:
            address = await stack.enter_async_context(_back_process(upstream))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            relay: Relay = Hop(channel)
        else:
            relay = await stack.enter_async_context(_upstream(upstream))
        runner = web.AppRunner(front(relay), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await _terminated()


async def serve_grpc(port: int, upstream: str) -> None:
    """Serve the relay over gRPC until SIGTERM."""
    async with _upstream(upstream) as relay:
        server = grpc.aio.server(handlers=[back(relay)])
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await _terminated()
        await server.stop(grace=None)


async def _terminated() -> None:
    """Wait for SIGTERM."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, event.set)
    await event.wait()


@asynccontextmanager
async def _upstream(url: str) -> AsyncIterator[Upstream]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Upstream(session, f"{url}/chat/completions")


@asynccontextmanager
async def _back_process(upstream: str) -> AsyncIterator[str]:
    """Run the relay in a child process; yield its address."""
    port = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.bare", "--back"),
        *("--port", str(port), "--upstream", upstream),
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the bare prototype on loopback.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="base URL of the model server")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--hop", action="store_true", help="relay in a process of its own")
    kind.add_argument("--back", action="store_true", help="be that process")
    args = parser.parse_args()
    if args.back:
        uvloop.run(serve_grpc(args.port, args.upstream))
    else:
        uvloop.run(serve_http(args.port, args.upstream, hop=args.hop))


if __name__ == "__main__":
    main()
