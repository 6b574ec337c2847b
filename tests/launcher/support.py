"""What the launcher's tests share: children that write a journal, and waiting for them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GGUF = ROOT / "tests" / "fixtures" / "tiny-chat" / "tiny-chat.gguf"


@dataclass(frozen=True)
class Journal:
    """What the children of a test wrote down, in order."""

    path: Path

    def lines(self) -> list[str]:
        """Return `name what` of each line."""
        return [f"{name} {what}" for name, what, _ in self._fields()]

    def pids(self, name: str) -> list[int]:
        """Return the process ids that `name` started under."""
        return [int(pid) for who, what, pid in self._fields() if (who, what) == (name, "started")]

    def argv(self, name: str, *options: str) -> tuple[str, ...]:
        """Return the command line of a child that writes here."""
        return (sys.executable, str(HERE / "child_program.py"), str(self.path), name, *options)

    def _fields(self) -> list[list[str]]:
        if not self.path.exists():
            return []
        return [line.split() for line in self.path.read_text().splitlines()]


async def until(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # another process sets no event of ours
            await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    """Tell whether a process has ended, though nobody may have asked how."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Lair = Callable[..., Ended]
