"""One thread for work that must not run twice at a time, urgent work first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")


class UrgentFirst:
    """A thread and the queue in front of it.

    Urgent work waits for what is under way and for what was urgent before it; the
    rest is done in order when nothing is urgent.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        # Places decide between equals, so that work itself is never compared.
        self._waiting: list[tuple[bool, int, Callable[[], Any], Future[Any]]] = []
        self._places = itertools.count()
        self._lock = Lock()

    async def run(self, work: Callable[[], T], *, urgent: bool = False) -> T:
        """Do `work` in the thread and return what it returns; cancelling takes it off the queue."""
        done: Future[T] = Future()
        with self._lock:
            heapq.heappush(self._waiting, (not urgent, next(self._places), work, done))
            # One turn for each piece of work: which one it does is decided when it comes.
            self._thread.submit(self._do_next)
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Drop what waits; what is under way ends on its own."""
        with self._lock:
            self._thread.shutdown(wait=False, cancel_futures=True)
            for *_, done in self._waiting:
                done.cancel()
            self._waiting.clear()

    def _do_next(self) -> None:
        with self._lock:
            if not self._waiting:  # closed just now
                return
            *_, work, done = heapq.heappop(self._waiting)
        if not done.set_running_or_notify_cancel():
            return
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # it is the caller's, in another thread
            done.set_exception(error)
        else:
            done.set_result(result)
