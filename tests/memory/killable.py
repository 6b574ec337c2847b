"""A memory_svc in a process of its own, made to be killed.

Imported once by a fork server, so that a hundred starts take seconds. What takes long in a
large memory is cut small here, so that there is always some of it to be killed in.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import aiosqlite

from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.memory.v1.memory_service_pb2_grpc import MemoryServiceStub
from lair.memory.v1.recall_service_pb2_grpc import RecallServiceStub
from memory_svc import tidying
from memory_svc.main import open_service
from memory_svc.storage.local import compaction, store
from svckit.channels import connect
from svckit.grpc_server import serving
from svckit.settings import Memory, Settings
from tests.memory.chats import Memories, WordEmbedder

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


@dataclass
class Killable:
    """A running process; `port` is where it serves, once it does."""

    process: ForkServerProcess
    _ready: Connection

    async def port(self, seconds: float = 20.0) -> int | None:
        """Wait until it serves; None if it died before."""
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(None, self._ready.poll, seconds):
            raise TimeoutError(f"not ready within {seconds} s")
        try:
            return int(self._ready.recv())
        except EOFError:
            return None

    async def killed(self) -> None:
        """Kill it without a word, if it did not do so itself."""
        self.process.kill()
        await asyncio.get_running_loop().run_in_executor(None, self.process.join)

    async def stopped(self) -> None:
        """Ask it to stop."""
        self.process.terminate()
        await asyncio.get_running_loop().run_in_executor(None, self.process.join, 20)
        assert self.process.exitcode == 0


def start(folder: Path, model: str = "words", *, dies_at: int = 0) -> Killable:
    """Start one over `folder`; before its statement number `dies_at` it kills itself."""
    ready, tell = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_main, args=(folder, model, dies_at, tell), daemon=True)
    process.start()
    tell.close()  # so that the pipe ends with the process
    return Killable(process, ready)


@asynccontextmanager
async def spoken_to(port: int) -> AsyncIterator[Memories]:
    async with connect(f"127.0.0.1:{port}") as channel:
        yield Memories(
            ConversationServiceStub(channel), RecallServiceStub(channel), MemoryServiceStub(channel)
        )


def _main(folder: Path, model: str, dies_at: int, tell: Connection) -> None:
    compaction._PAGES_A_STEP = 1
    compaction._MOST_EMPTY_PAGES = 2
    store._CLEARING_SECONDS = 0.0
    tidying._PAUSE_SECONDS = 0.02
    if dies_at:
        _die_at(dies_at)
    asyncio.run(_serve(folder, model, tell))


async def _serve(folder: Path, model: str, tell: Connection) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings(data_dir=folder, memory=Memory())
    async with (
        open_service(settings, embedder=WordEmbedder(model=model)) as servicers,
        serving(servicers, "127.0.0.1:0", grace_seconds=0) as port,
    ):
        tell.send(port)
        await stop.wait()


def _die_at(number: int) -> None:
    """Kill this process in front of what would be its statement of that number."""
    execute: Any = aiosqlite.Connection._execute
    statements = itertools.count(1)

    async def counted(self: aiosqlite.Connection, *arguments: Any, **named: Any) -> Any:
        if next(statements) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return await execute(self, *arguments, **named)

    aiosqlite.Connection._execute = counted  # type: ignore[method-assign]
