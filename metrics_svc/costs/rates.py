"""Prices for tokens, in whole numbers: sums of floats drift."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from metrics_svc.model import Tokens

_NANO = 10**9
_MICRO = 10**6
# A micro-dollar for a million tokens is a thousandth of a nano-dollar for each.
_PER_NANO = 1000


@dataclass(frozen=True, slots=True)
class Rates:
    """What tokens cost, in millionths of a US dollar for a million of them."""

    prompt: int
    completion: int
    cached: int
    cache_write: int

    def cost_nano(self, tokens: Tokens) -> int | None:
        """Return what `tokens` cost in billionths of a US dollar; None if they are unknown.

        The cached and the newly cached part of a prompt have prices of their own;
        reasoning is part of the answer.
        """
        if tokens.prompt is None or tokens.completion is None:
            return None
        cached, written = tokens.cached or 0, tokens.cache_write or 0
        fresh = max(tokens.prompt - cached - written, 0)
        total = (
            fresh * self.prompt
            + cached * self.cached
            + written * self.cache_write
            + tokens.completion * self.completion
        )
        return (total + _PER_NANO // 2) // _PER_NANO


def rates(
    prompt: Decimal | float,
    completion: Decimal | float,
    cached: Decimal | float | None = None,
    cache_write: Decimal | float | None = None,
) -> Rates:
    """Return rates of US dollars for a million tokens.

    Without a price of its own the cached part of a prompt costs what the rest does.
    """
    return Rates(
        prompt=_micro(prompt),
        completion=_micro(completion),
        cached=_micro(prompt if cached is None else cached),
        cache_write=_micro(prompt if cache_write is None else cache_write),
    )


def nano(dollars: Decimal) -> int:
    """Return US dollars in billionths."""
    return int((dollars * _NANO).to_integral_value(ROUND_HALF_EVEN))


def _micro(dollars: Decimal | float) -> int:
    return int((Decimal(str(dollars)) * _MICRO).to_integral_value(ROUND_HALF_EVEN))
