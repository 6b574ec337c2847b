"""How dark a day is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_svc.reports.levels import levels


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((1, 2, 3, 4, 0, 5, 6, 7, 8), [1, 1, 2, 2, 0, 3, 3, 4, 4]),
        ((1, 1, 1, 1, 1, 50), [1, 1, 1, 1, 1, 4]),
        ((7,), [1]),
        ((7, 7), [1, 1]),
        ((1, 9), [1, 2]),
        ((0, 0), [0, 0]),
        ((), []),
    ],
)
def test_active_days_are_told_apart_by_quarters(counts: tuple[int, ...], expected: list[int]):
    assert levels(counts) == expected


def test_one_mad_day_does_not_shift_the_others():
    usual = [1, 2, 3, 4, 5, 6, 7, 8]
    assert levels([*usual, 10_000]) == [*levels(usual), 4]
    # Two or more would, if they were not left out.
    assert levels([*usual, 9_000, 10_000]) == [*levels(usual), 4, 4]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_a_busier_day_is_never_paler(counts: list[int]):
    shown = levels(counts)
    for count, level in zip(counts, shown, strict=True):
        assert (level == 0) == (count == 0)
        assert 0 <= level <= 4
    ordered = sorted(zip(counts, shown, strict=True))
    assert [level for _, level in ordered] == sorted(shown)
