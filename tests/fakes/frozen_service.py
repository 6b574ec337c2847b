"""A gRPC service in a process of its own that is stopped, as a debugger or a full disk does.

Its socket stays open and takes what fits into its buffers; nobody reads or answers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from svckit import grpc_server
from svckit.channels import connect

# What no socket takes in one go; under the limit of one message.
MORE_THAN_A_SOCKET_HOLDS = 32 * 2**20


@asynccontextmanager
async def frozen_service() -> AsyncIterator[grpc.aio.Channel]:
    """Give a channel that connected before its peer froze."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        port = int(await process.stdout.readline())
        async with connect(f"127.0.0.1:{port}") as channel:
            await channel.channel_ready()
            process.send_signal(signal.SIGSTOP)
            yield channel
    finally:
        process.kill()
        await process.wait()


async def _serve() -> None:
    servicers = grpc_server.Servicers("frozen", (), ())
    async with grpc_server.serving(servicers, "127.0.0.1:0") as port:
        print(port, flush=True)  # noqa: T201  # read by who started it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
