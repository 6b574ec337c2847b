"""Work that goes on when the request it came from is over.

Answers that are read to their end without their client, models that are unloaded once
nobody needs them. Whoever stops the router waits for it here, until the time to stop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from svckit.logging import get_logger

log = get_logger(__name__)

_Result = TypeVar("_Result")


class Leftovers:
    """Owns that work. It has `grace_seconds` to end from when the process is to stop."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace = grace_seconds
        self._tasks: set[asyncio.Task[Any]] = set()
        self._deadline: float | None = None

    def start(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Begin `work`; its failure is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def stopping(self) -> None:
        """Note that the process is to stop: the time to end runs from now."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._grace

    async def finish(self) -> None:
        """Wait until all of it has ended, and end what is late."""
        self.stopping()
        assert self._deadline is not None, "it has just been set"
        while self._tasks:  # what ends may leave more behind
            seconds = self._deadline - time.monotonic()
            if seconds > 0:
                await asyncio.wait(self._tasks, timeout=seconds)
            else:
                await self._end_all()

    async def _end_all(self) -> None:
        await asyncio.sleep(0)  # who is cancelled before its first step has no chance to clean up
        if late := set(self._tasks):
            log.warning("work without a client is cut short", count=len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("work without a client failed", error=repr(error), exc_info=error)
