"""What a table can be made of: dimensions that rows are told apart by, and measures.

The names are public: docs/metrics.md explains them, and gateway lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from metrics_svc.histograms import Distribution, Spread
from metrics_svc.labels import bounded
from metrics_svc.model import CostSource, Origin, Status, UsageSource
from metrics_svc.query import Distinct, Value

_NOTHING = Distinct()
_US_PER_MS = 1e3
_US_PER_S = 1e6
_NANO = 1e9
# Of numbers that SQLite takes, and more than any status has.
_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Dimension:
    """What rows can be told apart by: a column of the ledger, and words for its numbers.

    Without words it is a text, or with `number` a number.
    """

    column: str
    words: Mapping[int, str] = field(default_factory=dict)
    number: bool = False

    def shown(self, value: Value) -> str:
        """Write a value of the column."""
        return self.words[value] if self.words else str(value)

    def read(self, text: str) -> Value | None:
        """Read what `shown` wrote; None for what it never writes."""
        if self.words:
            return next((value for value, word in self.words.items() if word == text), None)
        if self.number:
            plain = text.isascii() and text.isdecimal() and len(text) < _DIGITS
            return int(text) if plain else None
        return bounded(text)


def _words(kind: type[IntEnum]) -> dict[int, str]:
    return {value.value: value.name.lower() for value in kind}


_YES_NO = {0: "false", 1: "true"}
DIMENSIONS = {
    "user": Dimension("user"),
    "project": Dimension("project"),
    "key": Dimension("key"),
    "client": Dimension("client"),
    "endpoint": Dimension("endpoint"),
    "model": Dimension("model_used"),
    "requested_model": Dimension("model_requested"),
    "backend": Dimension("backend"),
    "local": Dimension("local", _YES_NO),
    "status": Dimension("status", _words(Status)),
    "http_status": Dimension("http_code", number=True),
    "error_reason": Dimension("error_reason"),
    "streamed": Dimension("streamed", _YES_NO),
    "origin": Dimension("origin", _words(Origin)),
    "usage_source": Dimension("usage_source", _words(UsageSource)),
    "cost_source": Dimension("cost_source", _words(CostSource)),
    "price_version": Dimension("price_version"),
}


@dataclass(slots=True)
class Part:
    """All that is known of one row: sums, requests by their ending, and so on."""

    sums: dict[str, int]
    statuses: dict[Status, int] = field(default_factory=dict)
    distinct: Distinct = _NOTHING
    spreads: Mapping[Spread, Distribution] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What a row can tell: how it is made, and of what; None is unknown."""

    of: Callable[[Part], float | None]
    sums: tuple[str, ...] = ()
    statuses: bool = False
    distinct: bool = False
    spreads: bool = False


def _sum(name: str) -> Measure:
    return Measure(of=lambda part: part.sums[name], sums=(name,))


def _difference(whole: str, less: str) -> Measure:
    return Measure(of=lambda part: part.sums[whole] - part.sums[less], sums=(whole, less))


def _mean(total: str, count: str, unit: float) -> Measure:
    """Return a measure of sums: averages are never averaged."""
    return Measure(
        of=lambda part: part.sums[total] / part.sums[count] / unit if part.sums[count] else None,
        sums=(total, count),
    )


def _money(total: str, known: str) -> Measure:
    return Measure(
        of=lambda part: part.sums[total] / _NANO if part.sums[known] else None, sums=(total, known)
    )


def _ended(*statuses: Status) -> Measure:
    return Measure(of=lambda part: sum(part.statuses.get(it, 0) for it in statuses), statuses=True)


def _different(count: Callable[[Distinct], int]) -> Measure:
    return Measure(of=lambda part: count(part.distinct), distinct=True)


def _percentile(spread: Spread, percent: int) -> Measure:
    def of(part: Part) -> float | None:
        values = part.spreads.get(spread)
        found = values.percentile(percent) if values else None
        return None if found is None else found / _US_PER_MS

    return Measure(of=of, spreads=True)


_NO_VERDICT = (Status.CLIENT_CANCELLED, Status.INVALID_REQUEST, Status.AUTH)
_ERRORS = tuple(it for it in Status if it is not Status.OK and it not in _NO_VERDICT)


def _success(part: Part) -> float | None:
    judged = sum(count for status, count in part.statuses.items() if status not in _NO_VERDICT)
    return part.statuses.get(Status.OK, 0) / judged if judged else None


# All are in thousandths of what is shown: microseconds, and tokens in a thousand seconds.
_SPREADS = {
    "duration_ms": Spread.DURATION,
    "first_token_ms": Spread.FIRST_TOKEN,
    "queue_ms": Spread.QUEUE,
    "overhead_ms": Spread.OVERHEAD,
    "tokens_per_second": Spread.SPEED,
}
MEASURES = {
    "requests": _sum("requests"),
    "client_requests": _sum("active"),
    **{status.name.lower(): _ended(status) for status in Status},
    "errors": _ended(*_ERRORS),
    "success_rate": Measure(of=_success, statuses=True),
    "fallbacks": _sum("moved"),
    "attempts": _sum("attempts"),
    "messages": _sum("messages"),
    "tool_calls": _sum("tool_calls"),
    "tokens": _sum("tokens"),
    "prompt_tokens": _sum("prompt_tokens"),
    "fresh_tokens": _difference("prompt_tokens", "cached_tokens"),
    "cached_tokens": _sum("cached_tokens"),
    "cache_write_tokens": _sum("cache_write_tokens"),
    "completion_tokens": _sum("completion_tokens"),
    "reasoning_tokens": _sum("reasoning_tokens"),
    "cost_usd": _money("cost_nano", "priced"),
    "unpriced": _difference("records", "priced"),
    "same_model_usd": _money("ref1_nano", "ref1_priced"),
    "replacement_usd": _money("ref2_nano", "ref2_priced"),
    "users": _different(lambda it: it.users),
    "projects": _different(lambda it: it.projects),
    "conversations": _different(lambda it: it.conversations),
    "sessions": _different(lambda it: it.all_sessions),
    "named_sessions": _different(lambda it: it.sessions),
    "inferred_sessions": _different(lambda it: it.inferred_sessions),
    "duration_ms": _mean("duration_us", "timed", _US_PER_MS),
    "first_token_ms": _mean("first_token_us", "first_tokens", _US_PER_MS),
    "queue_ms": _mean("queue_us", "queued", _US_PER_MS),
    "tokens_per_second": _mean("generated_tokens", "generating_us", 1 / _US_PER_S),
    **{
        f"{name}_p{percent}": _percentile(spread, percent)
        for name, spread in _SPREADS.items()
        for percent in (50, 90, 95, 99)
    },
}
