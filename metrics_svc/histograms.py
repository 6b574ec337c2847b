"""Distributions that add up: how many values fell into each of many narrow ranges.

A range is 2 % wide, so what is read of it is at most 1 % beside what was measured.
Packed, a distribution is a row of entries of three bytes: which range of which measure,
and up to 255 values in it. A longer count has several entries, in any order, so packed
distributions are added up by putting them behind one another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

_GAMMA = 1.02
_LOG_GAMMA = math.log(_GAMMA)
_RANGES = 2048
_ENTRY = np.dtype([("code", "<u2"), ("n", "u1")])
_MOST = 255

Counts = npt.NDArray[np.int64]


class Spread(IntEnum):
    """What is measured. The numbers are stored.

    Times are microseconds. Overhead is what neither a backend nor the queue took; speed is
    tokens a second after the first, in thousandths.
    """

    DURATION = 0
    FIRST_TOKEN = 1
    QUEUE = 2
    OVERHEAD = 3
    SPEED = 4


_SIZE = _RANGES * len(Spread)


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many values of one measure fell into each range."""

    counts: Counts

    @property
    def n(self) -> int:
        """How many values there are."""
        return int(self.counts.sum())

    def percentile(self, percent: float) -> float | None:
        """Return the smallest value that so many of a hundred do not exceed, within 1 %."""
        n = self.n
        if not n:
            return None
        rank = max(1, math.ceil(percent * n / 100))
        return value_of(int(np.searchsorted(np.cumsum(self.counts), rank)))

    def __add__(self, other: Distribution) -> Distribution:
        return Distribution(self.counts + other.counts)


def value_of(place: int) -> float:
    """Return what the values of a range are taken for."""
    if place == 0:
        return 0.0
    return float(2 * _GAMMA ** (place - 1) / (1 + _GAMMA))


def codes_of(values: Sequence[Sequence[float | None]]) -> tuple[Counts, Counts]:
    """Return the ranges that values fall into, and the row that each stands in.

    A row has a value for each `Spread`, in order; None was not measured.
    """
    table = np.array(values, dtype=float).reshape(-1, len(Spread))
    # What is below 1 has the first range for itself; the logarithm wants it out of the way.
    place = np.ceil(np.log(np.maximum(table, 1)) / _LOG_GAMMA) + 1
    place = np.where(table < 1, 0, np.minimum(place, _RANGES - 1))
    rows, spreads = np.nonzero(~np.isnan(table))
    return place[rows, spreads].astype(np.int64) + spreads * _RANGES, rows


def packed(codes: Counts, sign: int = 1, before: bytes = b"") -> bytes:
    """Return `before` with a value more in each range of `codes`, or less by `sign`.

    Raises `ValueError` where a range would have less than none.
    """
    counts = sign * np.bincount(codes, minlength=_SIZE) + _unpacked(before)
    if counts.min() < 0:
        raise ValueError(f"range {counts.argmin()} has {counts.min()} values")
    found = np.flatnonzero(counts)
    # So many full entries of each range, and one with the rest.
    times = -(-counts[found] // _MOST)
    entries = np.empty(times.sum(), _ENTRY)
    entries["code"] = np.repeat(found, times)
    entries["n"] = _MOST
    entries["n"][np.cumsum(times) - 1] = (counts[found] - 1) % _MOST + 1
    return entries.tobytes()


def distributions(blobs: Iterable[bytes]) -> Mapping[Spread, Distribution]:
    """Add up packed distributions, and return that of each measure."""
    parts = _unpacked(b"".join(blobs)).reshape(-1, _RANGES)
    return {spread: Distribution(parts[spread]) for spread in Spread}


def _unpacked(blob: bytes) -> Counts:
    """Return the number of values in every range of every measure."""
    entries = np.frombuffer(blob, _ENTRY)
    # Sums of bytes are exact in floating point far beyond any number of requests.
    return np.bincount(entries["code"], entries["n"], minlength=_SIZE).astype(np.int64)
