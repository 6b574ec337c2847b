"""Runs of active days against a walk over the calendar."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_svc.reports.streaks import Streaks, streaks


def walked(days: set[int], today: int) -> Streaks:
    longest = 0
    for first in days:
        length = 0
        while first + length in days:
            length += 1
        longest = max(longest, length)
    last = today if today in days else today - 1
    current = 0
    while last - current in days:
        current += 1
    return Streaks(longest, current)


@given(st.lists(st.integers(0, 60)), st.integers(0, 70))
def test_streaks_equal_a_walk_over_the_calendar(days: list[int], after: int):
    today = max([*days, 0]) + after
    assert streaks(days, today) == walked(set(days), today)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], Streaks(0, 0)),
        (["2025-01-01", "2025-01-02", "2025-01-03", "2025-01-10", "2025-01-11"], Streaks(3, 0)),
        (["2024-02-28", "2024-02-29", "2024-03-01"], Streaks(3, 0)),
        (["2024-12-31", "2025-01-01"], Streaks(2, 0)),
    ],
)
def test_runs_cross_month_ends_leap_days_and_years(days: list[str], expected: Streaks):
    ordinals = [date.fromisoformat(day).toordinal() for day in days]
    assert streaks(ordinals, date(2026, 1, 1).toordinal()) == expected


def test_separate_runs_are_not_added_up():
    days = [day for day in range(30) if day % 3 != 2]
    assert streaks(days, today=100) == Streaks(longest=2, current=0)


@pytest.mark.parametrize(("last", "current"), [(10, 2), (9, 2), (8, 0)])
def test_a_run_is_alive_until_the_end_of_the_day_after(last: int, current: int):
    assert streaks([last - 1, last], today=10).current == current
