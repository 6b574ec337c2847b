"""What use cost, as far as it is known: an unknown cost is never 0."""

from __future__ import annotations

from dataclasses import dataclass

# What the cost of requests is made of, in the order of `cost_of`.
COST_SUMS = ("records", "priced", "cost_nano")


@dataclass(frozen=True, slots=True)
class Cost:
    """Billionths of a US dollar, None where nothing has a known cost.

    `unpriced` counts the requests whose cost is unknown, repeated ones among them.
    """

    nano: int | None = None
    unpriced: int = 0


NO_COST = Cost()


def cost_of(records: int, priced: int, nano: int) -> Cost:
    """Return the cost of so many records, `priced` of which cost `nano` together."""
    return Cost(nano if priced else None, records - priced)
