"""Runs of consecutive active days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive active days, from `first` to `last`, which is one of them."""

    first: int
    last: int

    @property
    def days(self) -> int:
        """How many there are."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Streaks:
    """The longest run, the latest of several, and the one that is alive; None if none is."""

    longest: Run | None = None
    current: Run | None = None


def streaks(days: Iterable[int], today: int) -> Streaks:
    """Find the runs in `days`, which may repeat and come in any order.

    A run is alive until the end of the day after its last: today may yet become
    active. Days are ordinals, so that month ends and clock changes do not matter.
    """
    longest = run = None
    for day in sorted(set(days)):
        run = Run(run.first if run and run.last == day - 1 else day, day)
        if longest is None or run.days >= longest.days:
            longest = run
    alive = run is not None and run.last >= today - 1
    return Streaks(longest, run if alive else None)


def length(run: Run | None) -> int:
    """Return how many days a run has; 0 for none."""
    return run.days if run else 0
