"""How fast answers were: percentiles of what was measured.

By nearest rank: the smallest value that at least so many of a hundred do not exceed, read
from a distribution and so within 1 % of what some request really took.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from metrics_svc.histograms import Distribution, Spread
from metrics_svc.query import SpreadRow

# What the distributions of this report are told apart by.
MEASURED = ("model_used", "backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """A distribution; None where nothing was measured."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyShare:
    """How fast one item was, over its `requests` of known duration."""

    name: str
    requests: int
    duration_ms: Percentiles
    first_token_ms: Percentiles
    queue_ms: Percentiles
    tokens_per_second: Percentiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How fast answers were: all together, by model and by backend, the most requests first."""

    total: LatencyShare
    models: tuple[LatencyShare, ...]
    backends: tuple[LatencyShare, ...]


def latency(rows: Iterable[SpreadRow]) -> Latency:
    """Sum up what was measured, told apart by `MEASURED`."""
    rows = tuple(rows)
    return Latency(
        total=_share("", rows),
        models=_shares(rows, MEASURED.index("model_used")),
        backends=_shares(rows, MEASURED.index("backend")),
    )


def percentiles(values: Distribution | None, unit: float = 1.0) -> Percentiles:
    """Return the percentiles of `values`, in units of so many of theirs."""
    if values is None or not values.n:
        return Percentiles()
    p50, p90, p95, p99 = ((values.percentile(it) or 0.0) / unit for it in (50, 90, 95, 99))
    return Percentiles(p50=p50, p90=p90, p95=p95, p99=p99)


def _shares(rows: Iterable[SpreadRow], place: int) -> tuple[LatencyShare, ...]:
    """Sum up by one of their keys; what has none was answered by nobody."""
    parts: defaultdict[str, list[SpreadRow]] = defaultdict(list)
    for row in rows:
        parts[str(row.keys[place])].append(row)
    shares = (_share(name, part) for name, part in parts.items() if name)
    return tuple(sorted(shares, key=lambda share: (-share.requests, share.name)))


def _share(name: str, part: Sequence[SpreadRow]) -> LatencyShare:
    duration = _together(part, Spread.DURATION)
    return LatencyShare(
        name=name,
        requests=duration.n if duration else 0,
        duration_ms=percentiles(duration, 1000),
        first_token_ms=percentiles(_together(part, Spread.FIRST_TOKEN), 1000),
        queue_ms=percentiles(_together(part, Spread.QUEUE), 1000),
        tokens_per_second=percentiles(_together(part, Spread.SPEED), 1000),
    )


def _together(part: Sequence[SpreadRow], spread: Spread) -> Distribution | None:
    return reduce(add, (row.spreads[spread] for row in part)) if part else None
