"""Prices of providers, as the library genai-prices knows them.

The only module that knows the library. Its prices come with its release; nothing is
fetched. It is asked by the provider that is configured or by the backend's address,
never by a model's name alone, for it takes a local `mistral-small` for Mistral's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from statistics import median
from typing import Any

from genai_prices import Usage
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TimeOfDateConstraint

from metrics_svc.costs.names import plain_name
from metrics_svc.costs.rates import Rates, nano, rates
from metrics_svc.model import Tokens

# What a chat is priced by; a price of another unit is left to the library.
_PROMPT, _COMPLETION = "input_mtok", "output_mtok"
_CACHED, _CACHE_WRITE = "cache_read_mtok", "cache_write_mtok"
_PLAIN = frozenset((_PROMPT, _COMPLETION, _CACHED, _CACHE_WRITE))
# Units that a chat's tokens never have, so that their prices change nothing here.
_ELSEWHERE = ("audio", "image", "video", "web_searches", "storage_searches", "cache_write_1h")
# Fewer sellers than this make no market for a model.
_LEAST_SELLERS = 2


class KnownPrices:
    """The prices of one release of genai-prices."""

    version = f"genai-prices {version('genai-prices')}"

    def __init__(self) -> None:
        self._snapshot: DataSnapshot = get_snapshot()
        self._rates = lru_cache(maxsize=4096)(self._rates_of)

    def cost_nano(
        self, provider: str, url: str, model: str, tokens: Tokens, at_us: int
    ) -> int | None:
        """Return what a request cost; None if its price or its tokens are unknown.

        `provider` is the library's id for it; if empty, `url` tells. Times are UTC
        microseconds, for prices change with the day and some with the hour. A request is
        priced by itself, never in sums: long prompts have prices of their own.
        """
        if tokens.prompt is None or tokens.completion is None:
            return None
        at = datetime.fromtimestamp(at_us / 1_000_000, UTC)
        found = self._rates(provider, url, model, at.date())
        if found is None:
            return None
        if isinstance(found, Rates):
            return found.cost_nano(tokens)
        usage = Usage(
            input_tokens=tokens.prompt,
            output_tokens=tokens.completion,
            cache_read_tokens=tokens.cached,
            cache_write_tokens=tokens.cache_write,
        )
        seller, info = found
        priced = info.calc_price(usage, seller, genai_request_timestamp=at)
        return nano(priced.total_price)

    def markets(self) -> Mapping[str, tuple[Rates, int]]:
        """Return by plain name the median rates of the models that several sell, and how many."""
        offers: defaultdict[str, dict[str, Rates]] = defaultdict(dict)
        now = datetime.now(UTC)
        for seller in self._snapshot.providers:
            for info in seller.models:
                offer = _plain_rates(info.get_prices(now))
                if offer and offer.prompt and offer.completion:
                    offers[plain_name(info.id)].setdefault(seller.id, offer)
        return {
            name: (_median(list(sold.values())), len(sold))
            for name, sold in offers.items()
            if len(sold) >= _LEAST_SELLERS
        }

    def _rates_of(
        self, provider: str, url: str, model: str, _day: date
    ) -> Rates | tuple[Provider, ModelInfo] | None:
        """Return one day's rates of a model, or what the library prices it by."""
        if not (provider or url):
            return None
        try:
            seller, info = self._snapshot.find_provider_model(
                model, None, provider or None, None if provider else url
            )
        except LookupError:
            return None
        midnight = datetime(_day.year, _day.month, _day.day, tzinfo=UTC)
        plain = None if _by_the_hour(info) else _plain_rates(info.get_prices(midnight))
        return plain or (seller, info)


def providers() -> list[str]:
    """Return the ids of the providers whose prices are known."""
    return [seller.id for seller in get_snapshot().providers]


def models(provider: str) -> list[str]:
    """Return the ids of the models whose prices at a provider are known."""
    return [
        model.id
        for seller in get_snapshot().providers
        if seller.id == provider
        for model in seller.models
    ]


def sells(provider: str, model: str) -> bool:
    """Tell whether the price of a model at a provider is known."""
    try:
        get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return False
    return True


def _by_the_hour(info: ModelInfo) -> bool:
    prices: Any = info.prices
    return isinstance(prices, list) and any(
        isinstance(each.constraint, TimeOfDateConstraint) for each in prices
    )


def _plain_rates(price: ModelPrice) -> Rates | None:
    """Return the rates of a price that is the same for each token; None of any other."""
    known = {name: value for name, value in vars(price).items() if value is not None}
    of_chats = {
        name: value for name, value in known.items() if not any(unit in name for unit in _ELSEWHERE)
    }
    if not of_chats.keys() <= _PLAIN or _PROMPT not in of_chats or _COMPLETION not in of_chats:
        return None
    if not all(isinstance(value, Decimal) for value in of_chats.values()):
        return None
    return rates(
        of_chats[_PROMPT],
        of_chats[_COMPLETION],
        of_chats.get(_CACHED),
        of_chats.get(_CACHE_WRITE),
    )


def _median(offers: list[Rates]) -> Rates:
    def middle(name: str) -> int:
        return int(median(getattr(offer, name) for offer in offers))

    return Rates(*(middle(name) for name in ("prompt", "completion", "cached", "cache_write")))
