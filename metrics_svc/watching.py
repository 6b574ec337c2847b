"""Requests as they are counted, for who watches: each once, though a record may come twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple
from uuid import UUID

from metrics_svc.model import RequestRow, Scope
from svckit.feed import Feed

# A record that comes again comes soon after the first.
_REMEMBERED = 10_000


class News(NamedTuple):
    """A request, and how many before it were left out."""

    row: RequestRow
    lost: int


class Counted:
    """What was counted of late."""

    def __init__(self) -> None:
        self._feed: Feed[RequestRow] = Feed()
        self._told: OrderedDict[UUID, None] = OrderedDict()

    def note(self, rows: Sequence[RequestRow]) -> None:
        """Tell of requests that are in the ledger now."""
        for row in rows:
            if row.request_id in self._told:
                continue
            self._told[row.request_id] = None
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
            if self._feed.watched:
                self._feed.publish(row)

    async def watch(self, scope: Scope) -> AsyncGenerator[News]:
        """Yield the requests of `scope` as they come, until the reader has seen enough."""
        left_out = 0
        with self._feed.watch() as watcher:
            while not watcher.closed:
                rows, lost = await watcher.next()
                left_out += lost
                for row in rows:
                    if _is_of(row, scope):
                        yield News(row, left_out)
                        left_out = 0

    def close(self) -> None:
        """End the waiting of who watches."""
        self._feed.close()


def _is_of(row: RequestRow, scope: Scope) -> bool:
    return (
        scope.user in ("", row.user)
        and scope.project in ("", row.project)
        and scope.key in ("", row.key)
        and (scope.start_us is None or row.ts_us >= scope.start_us)
        and (scope.end_us is None or row.ts_us < scope.end_us)
    )
