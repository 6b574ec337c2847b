"""Recalls are written down behind the answer's back, and a full disk stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from memory_svc.model import Recall
from memory_svc.recall_log import RecallLog
from memory_svc.storage.base import MemoryStore
from svckit.times import now_us


class Disk:
    """A store that tells what it has written, and cannot write while it is `full`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.full = False
        self.refused = asyncio.Event()
        self.written = asyncio.Queue[str]()

    async def keep_recalls(self, recalls: Sequence[Recall]) -> None:
        if self.full:
            self.refused.set()
            raise OSError(28, "No space left on device")
        await self._store.keep_recalls(recalls)
        for recall in recalls:
            self.written.put_nowait(recall.request_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def a_recall(request_id: str) -> Recall:
    return Recall("ann", request_id, "now", now_us(), "dog?")


@asynccontextmanager
async def writing(log: RecallLog) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(log.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_what_is_noted_is_found_at_once_and_written_without_being_asked_for(
    store: MemoryStore,
) -> None:
    disk = Disk(store)
    log = RecallLog(disk)
    async with writing(log), asyncio.timeout(10):
        log.note(a_recall("q"))
        assert await log.find("ann", "q") is not None
        log.note(a_recall("r"))
        while await disk.written.get() != "r":
            pass
        assert await store.recall("ann", "r") is not None


async def test_more_than_a_batch_is_written_at_the_end(store: MemoryStore) -> None:
    log = RecallLog(store)
    async with writing(log):
        await asyncio.sleep(0)  # so that it has begun
        for number in range(250):
            log.note(a_recall(f"q{number}"))
    assert all([await store.recall("ann", f"q{number}") for number in range(250)])


async def test_a_full_disk_loses_nothing(store: MemoryStore) -> None:
    disk = Disk(store)
    log = RecallLog(disk)
    async with writing(log) as task, asyncio.timeout(10):
        await log.find("ann", "q")
        disk.full = True
        log.note(a_recall("q"))
        await disk.refused.wait()
        disk.full = False
        assert await log.find("ann", "q") is not None
        assert not task.done()
