"""Prices for tests: a `Pricer` by real ones, with a backend that is sold and one that is free."""

from __future__ import annotations

from collections.abc import Sequence

from metrics_svc.costs.known import KnownPrices
from metrics_svc.costs.pricing import Pricing
from metrics_svc.model import RequestRow
from svckit.backend_settings import Backend
from svckit.cost_settings import Costs, Price


class Prices:
    """A `Pricer` that has loaded already."""

    def __init__(
        self,
        backends: Sequence[Backend] = (),
        own: Sequence[Price] = (),
        costs: Costs | None = None,
    ) -> None:
        self._pricing = Pricing(backends, own, costs or Costs(), KnownPrices())

    async def priced(self, rows: Sequence[RequestRow]) -> Sequence[RequestRow]:
        return [self._pricing.priced(row) for row in rows]
