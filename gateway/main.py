"""Put the gateway together and serve it.

`serving` takes channels, so the same gateway stands before services in its own
process, on this machine, or elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from aiohttp import web

from gateway.access import ACCESS, Access
from gateway.app import build_app
from gateway.clients import Clients
from gateway.connection import Connection
from svckit.channels import connect
from svckit.grpc_server import ServeError
from svckit.keys import KeyFileError
from svckit.lifecycle import stop_requested
from svckit.logging import get_logger
from svckit.settings import LOOPBACK, Settings

log = get_logger(__name__)

# Agents send long header values (Codex: its whole turn as JSON); OpenAI asks for less than this.
_MAX_HEADER_BYTES = 64 * 1024
# How long a client whose body was refused may go on sending it, to then read why.
_LINGER_SECONDS = 1.0
# Connections that may wait to be accepted while the event loop is busy.
_BACKLOG = 128


@asynccontextmanager
async def serving(
    settings: Settings,
    *,
    router: grpc.aio.Channel,
    memory: grpc.aio.Channel,
    metrics: grpc.aio.Channel,
) -> AsyncIterator[int]:
    """Serve until the block is left, then drain. Yields the bound port.

    Raises `ServeError` where the address cannot or must not be served.
    """
    app = _app(settings, Clients.over(router=router, memory=memory, metrics=metrics))
    _refuse_open_address(settings, app[ACCESS])
    runner = web.AppRunner(
        app,
        handler_cancellation=True,  # else a client that leaves is noticed at the next write
        # aiohttp waits so long twice: for the handler, then for its connection.
        shutdown_timeout=settings.gateway.drain_seconds / 2,
    )
    await runner.setup()
    try:
        server = await _listen(runner, settings)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
    finally:
        await runner.cleanup()


async def run(settings: Settings) -> None:
    """Serve the gateway alone until the process is asked to stop."""
    async with AsyncExitStack() as stack:
        router = await stack.enter_async_context(connect(settings.address("router")))
        memory = await stack.enter_async_context(connect(settings.address("memory")))
        metrics = await stack.enter_async_context(connect(settings.address("metrics")))
        port = await stack.enter_async_context(
            serving(settings, router=router, memory=memory, metrics=metrics)
        )
        log.info("serving", address=f"http://{settings.gateway.host}:{port}")
        await stop_requested()
        log.info("stopping", drain_seconds=settings.gateway.drain_seconds)


async def _listen(runner: web.AppRunner, settings: Settings) -> asyncio.Server:
    host, port = settings.gateway.host, settings.gateway.port
    loop = asyncio.get_running_loop()
    manager = runner.server
    assert manager, "a runner that is set up has a server"

    def connection() -> Connection:
        return Connection(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # off; its hint forgets that it can be
            lingering_time=_LINGER_SECONDS,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )

    try:
        return await loop.create_server(connection, host, port, backlog=_BACKLOG)
    except OSError as error:
        raise ServeError(
            f"gateway: cannot listen on {host}:{port}: the port is in use or the address is not "
            "of this machine; choose another with gateway.port in lair.toml or --port"
        ) from error


def _app(settings: Settings, clients: Clients) -> web.Application:
    try:
        return build_app(settings, clients)
    except KeyFileError as error:
        raise ServeError(f"gateway: {error}") from error


def _refuse_open_address(settings: Settings, access: Access) -> None:
    host = settings.gateway.host
    if host not in LOOPBACK and not settings.gateway.no_auth and not access.has_keys:
        raise ServeError(
            f"gateway: {host} can be reached from other machines, and there are no keys to check; "
            "make one with lair keys create, set gateway.host to 127.0.0.1, or gateway.no_auth "
            "if everyone there may use lair"
        )
