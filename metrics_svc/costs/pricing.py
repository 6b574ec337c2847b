"""What one request cost, by the best that is known of it, and what it would have elsewhere.

The order: what the backend billed; a price that the user wrote down; nothing, for a
backend that takes no money; a known price of its provider; else unknown, which is not 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from operator import attrgetter
from typing import Any

from metrics_svc.costs.known import KnownPrices
from metrics_svc.costs.names import plain_name
from metrics_svc.costs.rates import Rates, rates
from metrics_svc.model import CostSource, Origin, RequestRow
from svckit.backend_settings import Backend
from svckit.cost_settings import Costs, Price

_OWN = "lair.toml"
_TAKES_NO_MONEY = ("local", "free", "subscription")


@dataclass(frozen=True, slots=True)
class References:
    """What a local model's tokens would have cost: the same model sold, and one instead."""

    same: Rates | None
    instead: tuple[str, str] | None  # provider and model


class Pricing:
    """Prices requests by the settings and what is known."""

    def __init__(
        self,
        backends: Sequence[Backend],
        own: Sequence[Price],
        costs: Costs,
        known: KnownPrices,
    ) -> None:
        self._backends: Mapping[str, Backend] = {backend.name: backend for backend in backends}
        # The latest first, so that the first that fits is the one that holds.
        self._own = sorted(
            ((price, _rates(price)) for price in own),
            key=lambda each: (each[0].since is not None, each[0].since),
            reverse=True,
        )
        self._costs = costs
        self._known = known
        self._markets = known.markets()
        self._references = lru_cache(maxsize=4096)(self._references_of)

    def priced(self, row: RequestRow) -> RequestRow:
        """Return `row` with its cost and references, as far as they are known."""
        cost, source, version = self._cost(row)
        if row.local:
            same, instead = self._elsewhere(row)
        else:
            same, instead = self._listed(row, cost, source), None
            if same is not None:
                version = version or self._known.version
        return _with_costs(row, (cost, source, same, instead, version))

    def _cost(self, row: RequestRow) -> tuple[int | None, CostSource, str]:
        if row.billed_nano is not None:
            return row.billed_nano, CostSource.BILLED, ""
        if not row.backend and row.origin is not Origin.IMPORT:
            return 0, CostSource.FREE, ""  # nothing was asked of anybody
        own = self._own_rates(row)
        if own:
            cost = own.cost_nano(row.tokens)
            if cost is None:
                return None, CostSource.UNPRICED, ""
            return cost, CostSource.CONFIGURED, _OWN
        return self._cost_by_billing(row, self._backends.get(row.backend))

    def _cost_by_billing(
        self, row: RequestRow, backend: Backend | None
    ) -> tuple[int | None, CostSource, str]:
        billing = backend.billing if backend else ""
        if billing in _TAKES_NO_MONEY or (not billing and row.local):
            return 0, CostSource.FREE, ""
        cost = None
        if backend is not None:
            cost = self._known.cost_nano(
                backend.provider, backend.url, row.model_used, row.tokens, row.ts_us
            )
        if cost is None:
            return None, CostSource.UNPRICED, ""
        return cost, CostSource.COMPUTED, self._known.version

    def _own_rates(self, row: RequestRow) -> Rates | None:
        if not self._own:
            return None
        day = datetime.fromtimestamp(row.ts_us / 1_000_000, UTC).date()
        for price, its_rates in self._own:
            if (
                price.backend in ("", row.backend)
                and fnmatchcase(row.model_used, price.model)
                and (price.since is None or price.since <= day)
            ):
                return its_rates
        return None

    def _listed(self, row: RequestRow, cost: int | None, source: CostSource) -> int | None:
        """Return what a remote request costs by its provider's list, None unknown."""
        if source is CostSource.COMPUTED:
            return cost
        backend = self._backends.get(row.backend)
        if cost is None or backend is None:
            return None  # nothing to compare, or nothing to compare with
        return self._known.cost_nano(
            backend.provider, backend.url, row.model_used, row.tokens, row.ts_us
        )

    def _elsewhere(self, row: RequestRow) -> tuple[int | None, int | None]:
        """Return what a local request would have cost at both references."""
        found = self._references(row.model_used)
        same = found.same.cost_nano(row.tokens) if found.same else None
        if not found.instead:
            return same, None
        provider, model = found.instead
        return same, self._known.cost_nano(provider, "", model, row.tokens, row.ts_us)

    def _references_of(self, model: str) -> References:
        market = self._markets.get(plain_name(self._costs.same_as.get(model, model)))
        instead = self._costs.instead_of.get(model, self._costs.instead)
        provider, _, other = instead.partition("/")
        return References(market[0] if market else None, (provider, other) if instead else None)


# What a price decides of a request, and all the rest.
_COSTS = ("cost_nano", "cost_source", "ref1_nano", "ref2_nano", "price_version")
_OTHERS = tuple(field.name for field in fields(RequestRow) if field.name not in _COSTS)
_others_of = attrgetter(*_OTHERS)
_SETTERS = tuple(getattr(RequestRow, name).__set__ for name in (*_OTHERS, *_COSTS))


def _with_costs(row: RequestRow, costs: tuple[Any, ...]) -> RequestRow:
    """Do what `dataclasses.replace` does, which would take longer than finding the price."""
    priced = object.__new__(RequestRow)
    for setter, value in zip(_SETTERS, (*_others_of(row), *costs), strict=True):
        setter(priced, value)
    return priced


def _rates(price: Price) -> Rates:
    return rates(price.input, price.output, price.cached_input, price.cache_write)
