"""The requests in flight, and the news of them for whoever watches.

A request pays for it with two entries in a dictionary; all else is the watchers' work.
Requests that ask to leave no trace leave none here either.
"""

from __future__ import annotations

from typing import NamedTuple

from lair.metrics.v1.usage_pb2 import RequestRecord
from router_svc.trace import Trace
from svckit.feed import Feed

_MOST_UNTOLD = 10_000


class Ended(NamedTuple):
    """A request that is over, and when memory was asked for it, and for how long."""

    record: RequestRecord
    recall_us: tuple[int, int] | None


class Live:
    """What is in flight in this router: a trace is news when it begins."""

    def __init__(self) -> None:
        self.news: Feed[Trace | Ended] = Feed()
        # Only what is over, also while the router drains and tells no watcher any more.
        self.ended: Feed[Ended] = Feed(_MOST_UNTOLD)
        self._running: dict[int, Trace] = {}

    @property
    def watched(self) -> bool:
        """Whether anybody wants to know what was."""
        return self.news.watched or self.ended.watched

    def running(self) -> list[Trace]:
        """Return the requests in flight, the oldest first."""
        return list(self._running.values())

    def begin(self, trace: Trace) -> None:
        """Note that a request came in."""
        if trace.call.untraced:
            return
        self._running[id(trace)] = trace
        if self.news.watched:
            self.news.publish(trace)

    def end(self, trace: Trace, record: RequestRecord | None) -> None:
        """Note that it is over."""
        self._running.pop(id(trace), None)
        if record is not None and self.watched:
            ended = Ended(record, trace.recall_us)
            self.news.publish(ended)
            self.ended.publish(ended)
