"""Prices for what comes in: loaded beside everything else, for the library takes its time.

Importing genai-prices takes more than a second, which neither readiness nor the event loop
waits for; a request that comes earlier does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from metrics_svc.model import RequestRow
from svckit.settings import Settings

if TYPE_CHECKING:  # importing it loads the library
    from metrics_svc.costs.pricing import Pricing


class Pricer(Protocol):
    """Tells what requests cost, before they are kept."""

    async def priced(self, rows: Sequence[RequestRow]) -> Sequence[RequestRow]:
        """Return `rows` with their costs, as far as they are known."""


class NoPrices:
    """A `Pricer` that knows no price: costs are what the rows say."""

    async def priced(self, rows: Sequence[RequestRow]) -> Sequence[RequestRow]:
        """Return `rows` as they are."""
        return rows


class LoadedPrices:
    """A `Pricer` by a `Pricing` that may still be loading."""

    def __init__(self, loading: asyncio.Task[Pricing]) -> None:
        self._loading = loading

    async def priced(self, rows: Sequence[RequestRow]) -> Sequence[RequestRow]:
        """Return `rows` with their costs."""
        pricing = await asyncio.shield(self._loading)
        # Some prices take half a millisecond, and there may be a thousand of them.
        return await asyncio.to_thread(lambda: [pricing.priced(row) for row in rows])


@asynccontextmanager
async def loaded_prices(settings: Settings) -> AsyncIterator[Pricer]:
    """Load the prices of `settings` in the background, and lend what tells them."""
    loading = asyncio.create_task(asyncio.to_thread(_load, settings))
    try:
        yield LoadedPrices(loading)
    finally:
        await asyncio.wait([loading])  # a thread cannot be stopped
        loading.result()


def _load(settings: Settings) -> Pricing:
    from metrics_svc.costs.known import KnownPrices  # noqa: PLC0415  # loads the library
    from metrics_svc.costs.pricing import Pricing  # noqa: PLC0415  # loads the library

    return Pricing(settings.backends, settings.prices, settings.costs, KnownPrices())
