"""Runs of consecutive active days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Streaks:
    """The longest run, and the one that is alive, in days."""

    longest: int
    current: int


def streaks(days: Iterable[int], today: int) -> Streaks:
    """Measure the runs in `days`, which may repeat and come in any order.

    A run is alive until the end of the day after its last: today may yet become
    active. Days are ordinals, so that month ends and clock changes do not matter.
    """
    longest = length = 0
    previous: int | None = None
    for day in sorted(set(days)):
        length = length + 1 if previous == day - 1 else 1
        longest = max(longest, length)
        previous = day
    alive = previous is not None and previous >= today - 1
    return Streaks(longest=longest, current=length if alive else 0)
