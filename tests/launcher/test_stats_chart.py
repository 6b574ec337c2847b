"""The chart of days, and how figures are written."""

from __future__ import annotations

from datetime import date

import pytest

from launcher.stats.figures import change, compact, count, counted, day, dollars, percent, run
from launcher.stats.heatmap import chart, months, squares
from tests.launcher.usages import chart_days, streak


def lines(first: date, count: int, width: int) -> list[str]:
    return [str(line) for line in chart(chart_days(first, {}, count), width)]


def test_a_week_is_a_column_from_monday_on() -> None:
    placed = squares(chart_days(date(2026, 1, 1), {}, 10))
    assert [(square.week, square.weekday) for square in placed[:5]] == [
        (0, 3),
        (0, 4),
        (0, 5),
        (0, 6),
        (1, 0),
    ]


def test_a_month_stands_over_the_week_of_its_first_day() -> None:
    placed = squares(chart_days(date(2026, 1, 1), {}, 365))
    named = list(months(placed, room=2))
    assert named[:3] == [(0, "Jan"), (4, "Feb"), (8, "Mar")]
    assert len(named) == 12


def test_a_month_without_room_gives_way_to_the_next() -> None:
    placed = squares(chart_days(date(2026, 1, 30), {}, 30))
    assert list(months(placed, room=4)) == [(0, "Feb")]


def test_a_year_fits_a_narrow_terminal_and_is_wider_in_a_wide_one() -> None:
    for width, cell in ((80, 1), (120, 2)):
        drawn = lines(date(2026, 1, 1), 365, width)
        assert max(map(len, drawn)) == 5 + 53 * cell
        assert len(drawn) == 8 + 2


@pytest.mark.parametrize("width", [20, 40, 59])
def test_a_long_time_has_several_parts_and_loses_no_day(width: int) -> None:
    drawn = lines(date(2024, 2, 28), 800, width)
    assert all(len(line) <= width for line in drawn[:-2])
    assert sum(line.count("·") for line in drawn[:-2]) == 800
    assert (len(drawn) - 2) % 8 == 0


def test_no_days_draw_nothing() -> None:
    assert list(chart([], 80)) == []


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (999, "999"), (1000, "1.0k"), (99_949, "99.9k"), (99_950, "100k")),
        *((999_499, "999k"), (999_500, "1.0M"), (12_345_678, "12.3M"), (5 * 10**12, "5.0T")),
    ],
)
def test_large_numbers_have_three_digits(number: int, text: str) -> None:
    assert compact(number) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        *((0, "$0.00"), (0.00001, "<$0.0001"), (-0.00001, "-<$0.0001"), (0.0123, "$0.0123")),
        *((0.25, "$0.25"), (0.1, "$0.10"), (0.994, "$0.9940"), (-3.2, "-$3.20")),
        (1234.5, "$1,234.50"),
    ],
)
def test_small_sums_are_not_nothing(amount: float, text: str) -> None:
    assert dollars(amount) == text


def test_only_all_is_a_hundred_percent() -> None:
    assert [percent(it) for it in (0, 0.00001, 0.5, 0.99999, 1)] == [
        "0%",
        "0.1%",
        "50.0%",
        "99.9%",
        "100%",
    ]


def test_figures_are_words() -> None:
    assert (count(1234), counted(1, "day"), counted(2, "day")) == ("1,234", "1 day", "2 days")
    assert (change(3, 2), change(3, 0)) == ("+50% to the same time before", "")
    assert run(streak(1, "2026-01-03", "2026-01-03")) == "1 day (2026-01-03)"
    assert day("2026-03-14") == "14 March"
