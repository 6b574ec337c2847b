"""How fast answers were: percentiles of what was measured.

By nearest rank: the smallest value that at least so many of a hundred do not exceed. Exact,
and each is what some request really took.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from metrics_svc.model import Timings


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


def latency(timings: Iterable[Timings]) -> Latency:
    """Sum up what was measured."""
    timings = tuple(timings)
    return Latency(
        total=_share("", timings),
        models=_shares(timings, lambda timing: timing.model),
        backends=_shares(timings, lambda timing: timing.backend),
    )


def percentiles(values: Iterable[float], unit: float = 1.0) -> Percentiles:
    """Return the percentiles of `values`, in units of so many of theirs."""
    ordered = sorted(values)
    if not ordered:
        return Percentiles()
    return Percentiles(
        p50=_ranked(ordered, 50) / unit,
        p90=_ranked(ordered, 90) / unit,
        p95=_ranked(ordered, 95) / unit,
        p99=_ranked(ordered, 99) / unit,
    )


def _ranked(ordered: Sequence[float], percent: int) -> float:
    return ordered[-(-percent * len(ordered) // 100) - 1]


def _shares(
    timings: Iterable[Timings], name_of: Callable[[Timings], str]
) -> tuple[LatencyShare, ...]:
    """Sum up by name; what has none was answered by nobody."""
    parts: defaultdict[str, list[Timings]] = defaultdict(list)
    for timing in timings:
        parts[name_of(timing)].append(timing)
    shares = (_share(name, part) for name, part in parts.items() if name)
    return tuple(sorted(shares, key=lambda share: (-share.requests, share.name)))


def _share(name: str, part: Sequence[Timings]) -> LatencyShare:
    every = chain.from_iterable
    return LatencyShare(
        name=name,
        requests=sum(timing.requests for timing in part),
        duration_ms=percentiles(every(timing.duration_us for timing in part), 1000),
        first_token_ms=percentiles(every(timing.first_token_us for timing in part), 1000),
        queue_ms=percentiles(every(timing.queue_us for timing in part), 1000),
        tokens_per_second=percentiles(every(timing.tokens_per_second for timing in part)),
    )
