"""Runs of active days against a walk over the calendar."""

import sqlite3
from collections.abc import Iterable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_svc.reports.streaks import Run, length, streaks


def lengths(days: Iterable[int], today: int) -> tuple[int, int]:
    found = streaks(days, today)
    return length(found.longest), length(found.current)


def walked(days: set[int], today: int) -> tuple[int, int]:
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
    return longest, current


@given(st.lists(st.integers(0, 60)), st.integers(0, 70))
def test_streaks_equal_a_walk_over_the_calendar(days: list[int], after: int):
    today = max([*days, 0]) + after
    assert lengths(days, today) == walked(set(days), today)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], (0, 0)),
        (["2025-01-01", "2025-01-02", "2025-01-03", "2025-01-10", "2025-01-11"], (3, 0)),
        (["2024-02-28", "2024-02-29", "2024-03-01"], (3, 0)),
        (["2024-12-31", "2025-01-01"], (2, 0)),
    ],
)
def test_runs_cross_month_ends_leap_days_and_years(days: list[str], expected: tuple[int, int]):
    ordinals = [date.fromisoformat(day).toordinal() for day in days]
    assert lengths(ordinals, date(2026, 1, 1).toordinal()) == expected


def test_separate_runs_are_not_added_up():
    days = [day for day in range(30) if day % 3 != 2]
    assert lengths(days, today=100) == (2, 0)


@pytest.mark.parametrize(("last", "current"), [(10, 2), (9, 2), (8, 0)])
def test_a_run_is_alive_until_the_end_of_the_day_after(last: int, current: int):
    assert lengths([last - 1, last], today=10)[1] == current


def test_a_run_says_where_it_begins_and_ends_and_the_latest_of_equals_is_the_longest():
    found = streaks([1, 2, 5, 8, 9], today=10)
    assert found.longest == found.current == Run(8, 9)
    assert streaks([1, 2, 5, 8, 9], today=11).current is None


# The query of the plan that lair grew from: it adds up all pairs of neighbours in the whole
# history, for it never says where a run ends.
PLAN = """
WITH daily_activity AS (
  SELECT DISTINCT date FROM metrics ORDER BY date
),
gaps AS (
  SELECT
    date,
    LAG(date) OVER (ORDER BY date) as prev_date,
    JULIANDAY(date) - JULIANDAY(LAG(date) OVER (ORDER BY date)) as gap
  FROM daily_activity
)
SELECT MAX(streak) as longest_streak
FROM (
  SELECT
    SUM(CASE WHEN gap = 1 THEN 1 ELSE 0 END) + 1 as streak
  FROM gaps
)
"""


@pytest.mark.parametrize(
    ("days", "planned", "true"),
    [
        ([1, 2, 3, 10, 11, 20], 4, 3),
        ([day + 3 * pair for pair in range(10) for day in (1, 2)], 11, 2),
        ([], None, 0),
        ([59, 60, 61], 3, 3),
    ],
)
def test_the_streak_of_the_plan_is_wrong_and_ours_is_right(
    days: list[int], planned: int | None, true: int
):
    first = date(2023, 12, 31).toordinal()
    connection = sqlite3.connect(":memory:")
    connection.execute("create table metrics (date text)")
    dates = [(date.fromordinal(first + day).isoformat(),) for day in days]
    connection.executemany("insert into metrics values (?)", dates)
    ((found,),) = connection.execute(PLAN).fetchall()
    connection.close()
    assert found == planned
    ours, _ = lengths([first + day for day in days], first + 365)
    assert ours == walked(set(days), 365)[0] == true
