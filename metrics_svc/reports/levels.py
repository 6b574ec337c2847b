"""How dark each day of a chart is, as GitHub draws it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from statistics import quantiles

LEVELS = 4
# How far above the middle half of the days an outlier is, in heights of that half.
_FENCE = 1.5


def levels(counts: Sequence[int]) -> list[int]:
    """Return 0 for each idle day, and 1 to 4 for the quarter of the active days it is in.

    One extraordinary day must not make all others pale: outliers do not shift quarters.
    """
    bounds = _bounds(sorted(count for count in counts if count))
    return [1 + bisect_left(bounds, count) if count else 0 for count in counts]


def _bounds(active: list[int]) -> list[float]:
    """Return what parts the active days into quarters."""
    if len(active) < LEVELS:  # too few for quarters: the busiest is the darkest
        return sorted({float(count) for count in active})[:-1]
    low, _, high = quantiles(active, n=LEVELS, method="inclusive")
    usual = [count for count in active if count <= high + _FENCE * (high - low)]
    return quantiles(usual, n=LEVELS, method="inclusive")
