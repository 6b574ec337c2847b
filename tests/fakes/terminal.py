"""A terminal that a test can close while a process runs in it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

# SIGHUP is ignored by what inherits that, and the tests may run under nohup.
_IN_OWN_TERMINAL = (
    "import fcntl, os, signal, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@dataclass(frozen=True)
class InTerminal:
    """A process whose standard input and errors are a terminal, and the end of that."""

    process: asyncio.subprocess.Process
    close: Callable[[], None]

    async def line(self) -> str:
        """Return the next line of its output."""
        assert self.process.stdout
        return (await self.process.stdout.readline()).decode().strip()


@asynccontextmanager
async def in_terminal(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[InTerminal]:
    """Run Python with `arguments` as a shell does: as the leader of a terminal's session."""
    master, slave = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _IN_OWN_TERMINAL, *arguments),
        env={**(environment or os.environ), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=slave,
        stdout=asyncio.subprocess.PIPE,
        stderr=slave,
    )
    os.close(slave)

    def close() -> None:
        with suppress(OSError):  # the test has closed it
            os.close(master)

    try:
        yield InTerminal(process, close)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        close()
