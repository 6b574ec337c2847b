"""Distributions: within 1 %, and the same however they are added up."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_svc.histograms import Distribution, Spread, codes_of, distributions, packed

values = st.lists(st.integers(0, 10**13), min_size=1, max_size=60)


def durations(measured: Sequence[float]) -> bytes:
    codes, _ = codes_of([[value, None, None, None, None] for value in measured])
    return packed(codes)


def of(*blobs: bytes) -> Distribution:
    return distributions(blobs)[Spread.DURATION]


def ranked(measured: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many of a hundred do not exceed."""
    ordered = sorted(measured)
    return ordered[max(1, math.ceil(percent * len(ordered) / 100)) - 1]


def two_humps(chance: random.Random) -> float:
    return chance.gauss(5e5, 1e4) if chance.random() < 0.9 else chance.gauss(9e6, 1e5)


SHAPES = {
    "lognormal": lambda chance: chance.lognormvariate(13, 1.2),
    "two humps": two_humps,
    "constant": lambda _: 812_345,
    "nothing": lambda _: 0,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 20, 20_000])
def test_percentiles_are_within_one_percent(shape: str, n: int):
    chance = random.Random(4)
    measured = [int(SHAPES[shape](chance)) for _ in range(n)]
    found = of(durations(measured))
    assert found.n == n
    for percent in (0.1, 25, 50, 90, 95, 99, 99.9, 100):
        assert found.percentile(percent) == pytest.approx(ranked(measured, percent), rel=0.01)


@given(one=values, other=values)
def test_parts_add_up_to_the_whole(one: list[int], other: list[int]):
    whole = of(durations(one + other))
    assert (of(durations(one), durations(other)).counts == whole.counts).all()
    assert ((of(durations(one)) + of(durations(other))).counts == whole.counts).all()


@given(one=values, other=values)
def test_what_is_taken_out_leaves_no_trace(one: list[int], other: list[int]):
    codes, _ = codes_of([[value, None, None, None, None] for value in one])
    both = packed(codes, before=durations(other))
    assert packed(codes, -1, both) == durations(other)
    assert packed(codes, -1, durations(one)) == b""


def test_nothing_can_be_taken_out_that_is_not_there():
    codes, _ = codes_of([[5, None, None, None, None]])
    with pytest.raises(ValueError, match="has -1 values"):
        packed(codes, -1)


def test_a_range_may_have_more_values_than_a_byte_holds():
    blob = durations([7] * 1000)
    assert len(blob) == 4 * 3
    assert of(blob).n == 1000


def test_measures_do_not_mix_and_unknown_ones_are_none():
    codes, rows = codes_of([[1000, None, 0, None, 2.5], [None, 30, None, None, None]])
    assert rows.tolist() == [0, 0, 0, 1]
    found = distributions([packed(codes)])
    assert [found[spread].n for spread in Spread] == [1, 1, 1, 0, 1]
    assert found[Spread.OVERHEAD].percentile(50) is None
    assert found[Spread.QUEUE].percentile(50) == 0
    assert found[Spread.SPEED].percentile(50) == pytest.approx(2.5, rel=0.01)


def test_without_values_there_is_nothing():
    assert all(not spread.n for spread in distributions([]).values())
    assert codes_of([])[0].size == 0
    assert packed(np.array([], dtype=np.int64)) == b""
