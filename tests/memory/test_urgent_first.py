"""Urgent work waits for what is under way, and for nothing else."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from memory_svc.embedding.urgent_first import UrgentFirst


@pytest.fixture
async def thread() -> AsyncIterator[UrgentFirst]:
    thread = UrgentFirst("test")
    yield thread
    thread.close()


class Slow:
    """Work that is under way until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.go.wait(20)
        return "slow"


async def busy(thread: UrgentFirst) -> tuple[Slow, asyncio.Task[str]]:
    slow = Slow()
    under_way = asyncio.create_task(thread.run(slow))
    await asyncio.to_thread(slow.begun.wait, 20)
    return slow, under_way


async def test_urgent_work_overtakes_all_that_waits(thread: UrgentFirst):
    done: list[str] = []
    slow, under_way = await busy(thread)
    async with asyncio.TaskGroup() as waiting:
        for name in ("first", "second"):
            waiting.create_task(thread.run(lambda name=name: done.append(name)))
        for name in ("question", "other question"):
            waiting.create_task(thread.run(lambda name=name: done.append(name), urgent=True))
        await asyncio.sleep(0)  # all of them stand in the queue
        slow.go.set()
    assert await under_way == "slow"
    assert done == ["question", "other question", "first", "second"]


async def test_an_error_is_its_callers(thread: UrgentFirst):
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 / 0)
    assert await thread.run(lambda: "still there") == "still there"


async def test_cancelled_work_is_not_begun(thread: UrgentFirst):
    done: list[str] = []
    slow, under_way = await busy(thread)
    cancelled = asyncio.create_task(thread.run(lambda: done.append("cancelled")))
    await asyncio.sleep(0)
    cancelled.cancel()
    after = asyncio.create_task(thread.run(lambda: done.append("after")))
    await asyncio.sleep(0)
    slow.go.set()
    await asyncio.gather(under_way, after)
    assert cancelled.cancelled()
    assert done == ["after"]


async def test_closing_drops_what_waits_and_does_not_wait_for_what_runs(thread: UrgentFirst):
    slow, under_way = await busy(thread)
    waiting = asyncio.create_task(thread.run(lambda: "never"))
    await asyncio.sleep(0)
    thread.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    slow.go.set()
    assert await under_way == "slow"
