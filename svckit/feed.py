"""News for whoever happens to listen, without ever waiting for them.

    with feed.watch() as watcher:
        while not watcher.closed:
            items, lost = await watcher.next()

Each watcher has a queue of its own. One that does not keep up loses its oldest items
and is told how many. For one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Watcher(Generic[_Item]):
    """The items of one listener."""

    def __init__(self, limit: int) -> None:
        self.closed = False
        self._items: deque[_Item] = deque(maxlen=limit)
        self._lost = 0
        self._news = asyncio.Event()

    async def next(self, seconds: float | None = None) -> tuple[list[_Item], int]:
        """Return the items that came, and how many were lost before them.

        Waits for the first, or for `seconds`, or for the feed's end; then there is none.
        """
        if not (self._items or self.closed):
            self._news.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return [], 0
        items, lost = list(self._items), self._lost
        self._items.clear()
        self._lost = 0
        return items, lost

    def put(self, item: _Item) -> None:
        """Add an item; the oldest goes where there are too many."""
        if len(self._items) == self._items.maxlen:
            self._lost += 1
        self._items.append(item)
        self._news.set()

    def close(self) -> None:
        """End the waiting: nothing more will come."""
        self.closed = True
        self._news.set()


class Feed(Generic[_Item]):
    """Hands items to its watchers, each of which keeps at most `limit` of them."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._watchers: set[Watcher[_Item]] = set()
        self._closed = False

    @property
    def watched(self) -> bool:
        """Whether anybody listens, so that it is worth making an item."""
        return bool(self._watchers)

    def publish(self, item: _Item) -> None:
        """Hand `item` to every watcher."""
        for watcher in self._watchers:
            watcher.put(item)

    @contextmanager
    def watch(self) -> Iterator[Watcher[_Item]]:
        """Listen from now on until the block is left."""
        watcher: Watcher[_Item] = Watcher(self._limit)
        if self._closed:
            watcher.close()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """End the waiting of all watchers, and of those to come."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()
