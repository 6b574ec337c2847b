"""The seam of storage: what metrics asks of wherever requests are kept.

`tests/metrics/test_store.py` is the contract of every implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from metrics_svc.model import Page, Position, RequestRow, Scope, Timings, Use


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

    async def use(self, scope: Scope) -> Use:
        """Sum up what was used in `scope`, as it is at one moment."""

    async def timings(self, scope: Scope) -> tuple[Timings, ...]:
        """Return how long answers of `scope` took that were not lair's own, where known."""

    async def requests(self, scope: Scope, limit: int, after: Position | None) -> Page:
        """List at most `limit` requests of `scope`, the latest first, from `after` on."""
