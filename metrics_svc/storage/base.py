"""The seam of storage: what metrics asks of wherever requests are kept.

`tests/metrics/test_store.py` is the contract of every implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from metrics_svc.model import Page, Position, RequestRow, Scope
from metrics_svc.query import BusyRow, DistinctRow, HopRow, Question, SpreadRow, SumRow


class Ledger(Protocol):
    """What was counted, as it was at one moment. Reading never waits for writing.

    Rows come ordered by time and keys; parts without any request are left out.
    """

    async def sums(self, question: Question, measures: Sequence[str]) -> tuple[SumRow, ...]:
        """Add up `measures`, which are columns of `usage15`. Exact for every range."""

    async def distincts(self, question: Question) -> tuple[DistinctRow, ...]:
        """Count different sessions and the like; dimensions and filters are of `WHO`."""

    async def spreads(self, question: Question) -> tuple[SpreadRow, ...]:
        """Return distributions; dimensions and filters are of `LANE`, without a grain."""

    async def hops(self, scope: Scope) -> tuple[HopRow, ...]:
        """Return the tries that failed before another backend was asked, most first."""

    async def busy(self, scope: Scope) -> tuple[BusyRow, ...]:
        """Return how long each backend worked in the scope's time, whoever asked it.

        Requests side by side count once: it is the time in which any was in flight.
        """

    async def requests(self, scope: Scope, limit: int, after: Position | None) -> Page:
        """List at most `limit` requests of `scope`, the latest first, from `after` on."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How many days requests and their attempts stay; 0 is for ever."""

    request_days: int
    attempt_days: int


class MetricsStore(Protocol):
    """Keeps each request once, and sums them up."""

    async def append(self, rows: Sequence[RequestRow]) -> int:
        """Keep those whose id is new, with their attempts; return how many.

        All are committed on return, or none on an exception. Of labels of one kind
        beyond the store's limit only the first are told apart, the others are
        `(other)`.

        A request that another one of the same user repeats no longer counts as one,
        whichever of the two comes first.
        """

    async def prune(self, kept: Kept, now_us: int) -> int:
        """Delete what is older than it is kept; return how many requests.

        No report changes by it, but for the list of requests. One that comes after those
        of its time were deleted is added to the sums, once.
        """

    async def late_count(self) -> int:
        """Return how many requests came when those of their time were already deleted."""

    def reading(self) -> AbstractAsyncContextManager[Ledger]:
        """Lend the ledger as it is now.

        Raises `ServiceError` where reading takes longer than a report may.
        """
