"""What the figures of a run say: medians, what each system adds, and the bar.

Pure functions of a `Run`, which is what bench/results/overhead.json holds, and of a
`Soak`, which is what bench/results/soak.json holds. Of a run every ratio is taken
within a round, between measurements seconds apart, and only then the median over the
rounds: on a shared machine a slow minute hits both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

# How much worse than its yardstick a system may be.
BAR = 1.5
BASELINE = "direct"
YARDSTICKS = {"lair": "bare", "lair_separate": "bare_hop", "lair_logging": "bare"}
# Of a soak: how long the event loop may be held, unless an idle one beside it was held half as
# long, and how much memory may grow.
STALL_MS, _AS_LONG_AS_IDLE = 100.0, 2.0
MOST_GROWTH = 0.05
# Stricter than the bar asks: the same prototype on lair's own event loop and JSON library.
REFERENCES = {"lair": "tuned", "lair_separate": "tuned_hop"}


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement: times in milliseconds, rates per second, None where nothing streams."""

    p50_ms: float
    p99_ms: float
    requests_per_s: float
    ttft_p50_ms: float | None = None
    chunks_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of load; `rounds` holds a system's figures, one for each round."""

    concurrency: int
    chunks: int
    rounds: dict[str, list[Figures]]

    @property
    def title(self) -> str:
        """Say what the load is."""
        kind = f"streams of {self.chunks} chunks" if self.chunks else "whole replies"
        times = "one request at a time" if self.concurrency == 1 else f"{self.concurrency} at once"
        return f"{kind}, {times}"


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run: what it ran on, what each system is called, what could not be measured."""

    facts: dict[str, str]
    titles: dict[str, str]
    missing: dict[str, str]
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Soak:
    """What a run showed: memory in MB, lateness of the event loops in milliseconds."""

    seconds: float
    idle_streams: int
    active_streams: int
    requests: int
    rss_begin_mb: float
    rss_end_mb: float
    late_p50_ms: float
    late_max_ms: float
    held_max_ms: float
    stalls: int
    idle_loop_late_p50_ms: float
    idle_loop_late_max_ms: float
    idle_loop_held_max_ms: float
    idle_loop_stalls: int

    @property
    def growth(self) -> float:
        """How much memory was gained, as a share of that at the beginning."""
        return self.rss_end_mb / self.rss_begin_mb - 1

    @property
    def steady(self) -> bool:
        """Whether memory stayed within the bound."""
        return self.growth <= MOST_GROWTH

    @property
    def smooth(self) -> bool:
        """Whether the loop was never held for longer than the bound, or than an idle one was."""
        return self.held_max_ms <= max(STALL_MS, _AS_LONG_AS_IDLE * self.idle_loop_held_max_ms)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """A system under one load; `added_…` is what it takes longer than the stub alone."""

    system: str
    p50_ms: float
    p99_ms: float
    requests_per_s: float
    added_p50_ms: float
    added_p99_ms: float
    ttft_p50_ms: float | None
    added_ttft_ms: float | None
    chunks_per_s: float | None
    chunk_share: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many times worse a system is than its yardstick in one measure.

    `times` is None where the yardstick added nothing that could be measured.
    """

    system: str
    yardstick: str
    measure: str
    times: Spread | None

    @property
    def met(self) -> bool:
        """Whether the system stays within the bar."""
        return self.times is not None and self.times.median <= BAR


def spread(values: Sequence[float]) -> Spread:
    """Reduce one value for each round."""
    return Spread(median(values), min(values), max(values))


def rows(cell: Cell) -> list[Row]:
    """Return the cell's systems in the order they were measured, medians over the rounds."""
    base = cell.rounds[BASELINE]
    return [_row(system, figures, base) for system, figures in cell.rounds.items()]


def comparisons(cell: Cell, others: Mapping[str, str] = YARDSTICKS) -> list[Comparison]:
    """Hold every system of the cell against its yardstick, in each measure of the cell."""
    found = []
    for system, yardstick in others.items():
        if system not in cell.rounds or yardstick not in cell.rounds:
            continue
        series = (cell.rounds[system], cell.rounds[yardstick], cell.rounds[BASELINE])
        for measure, times_worse in (_OF_STREAMS if cell.chunks else _OF_WHOLE_REPLIES).items():
            each = [times_worse(*figures) for figures in zip(*series, strict=True)]
            known = [times for times in each if times is not None]
            found.append(Comparison(system, yardstick, measure, spread(known) if known else None))
    return found


def _row(system: str, own: list[Figures], base: list[Figures]) -> Row:
    pairs = list(zip(own, base, strict=True))
    return Row(
        system=system,
        p50_ms=median(f.p50_ms for f in own),
        p99_ms=median(f.p99_ms for f in own),
        requests_per_s=median(f.requests_per_s for f in own),
        added_p50_ms=median(f.p50_ms - b.p50_ms for f, b in pairs),
        added_p99_ms=median(f.p99_ms - b.p99_ms for f, b in pairs),
        ttft_p50_ms=_known_median(f.ttft_p50_ms for f in own),
        added_ttft_ms=_known_median(
            None
            if f.ttft_p50_ms is None or b.ttft_p50_ms is None
            else f.ttft_p50_ms - b.ttft_p50_ms
            for f, b in pairs
        ),
        chunks_per_s=_known_median(f.chunks_per_s for f in own),
        chunk_share=_known_median(_quotient(f.chunks_per_s, b.chunks_per_s) for f, b in pairs),
    )


def _known_median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _quotient(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _times_added(own: float | None, yardstick: float | None, base: float | None) -> float | None:
    """Divide what was added; None where the yardstick added nothing to divide by."""
    if own is None or yardstick is None or base is None or yardstick <= base:
        return None
    return (own - base) / (yardstick - base)


_TimesWorse = Callable[[Figures, Figures, Figures], float | None]

_OF_WHOLE_REPLIES: dict[str, _TimesWorse] = {
    "added p50": lambda own, yard, base: _times_added(own.p50_ms, yard.p50_ms, base.p50_ms),
    "requests/s": lambda own, yard, _: _quotient(yard.requests_per_s, own.requests_per_s),
}
_OF_STREAMS: dict[str, _TimesWorse] = {
    "added p50": lambda own, yard, base: _times_added(own.p50_ms, yard.p50_ms, base.p50_ms),
    "added TTFT": lambda own, yard, base: _times_added(
        own.ttft_p50_ms, yard.ttft_p50_ms, base.ttft_p50_ms
    ),
    "chunks/s": lambda own, yard, _: _quotient(yard.chunks_per_s, own.chunks_per_s),
}
