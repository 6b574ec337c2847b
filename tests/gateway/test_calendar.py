"""Days as a chart shows them: every one, its weekday, and how dark it is."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.rest_calendar import MAX_DAYS, activity_json, daily_json
from lair.metrics.v1.report_service_pb2 import DayActivity, GetDashboardResponse

TODAY = date(2026, 11, 21)


def used(*counts: int, last: date = TODAY) -> GetDashboardResponse:
    """Return a dashboard of consecutive days up to `last`; 0 is an idle one."""
    first = last - timedelta(days=len(counts) - 1)
    days = [
        DayActivity(date=(first + timedelta(days=place)).isoformat(), request_count=count)
        for place, count in enumerate(counts)
        if count
    ]
    return GetDashboardResponse(days=days)


def levels(*counts: int) -> list[int]:
    chart = activity_json(
        used(*counts), start=TODAY - timedelta(days=len(counts) - 1), end=None, today=TODAY
    )
    return [day.level for day in chart.days]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((1, 2, 3, 4, 0, 5, 6, 7, 8), [1, 1, 2, 2, 0, 3, 3, 4, 4]),
        ((1, 1, 1, 1, 1, 50), [1, 1, 1, 1, 1, 4]),
        ((7,), [1]),
        ((7, 7), [1, 1]),
        ((1, 9), [1, 2]),
        ((0, 0), [0, 0]),
    ],
)
def test_active_days_are_told_apart_by_quarters(counts, expected):
    assert levels(*counts) == expected


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_a_busier_day_is_never_paler(counts):
    shown = levels(*counts)
    assert len(shown) == len(counts)
    for count, level in zip(counts, shown, strict=True):
        assert (level == 0) == (count == 0)
        assert 0 <= level <= 4
    ordered = sorted(zip(counts, shown, strict=True))
    assert [level for _, level in ordered] == sorted(shown)


def test_a_chart_ends_today_and_begins_a_year_before():
    chart = activity_json(used(3), start=None, end=TODAY + timedelta(days=9), today=TODAY)
    assert (chart.days[0].date, chart.days[-1].date) == ("2025-11-22", "2026-11-21")
    assert len(chart.days) == 365
    assert chart.days[-1].weekday == 5


def test_days_begin_with_the_first_active_one():
    daily = daily_json(used(2, 0, 1), start=None, end=None, today=TODAY)
    assert [(day.requests, day.active) for day in daily.days] == [
        (2, True),
        (0, False),
        (1, True),
    ]


@pytest.mark.parametrize("build", [daily_json, activity_json])
def test_of_a_longer_time_the_last_ten_years_are_shown(build):
    shown = build(used(1), start=date(2000, 1, 1), end=date(2999, 1, 1), today=TODAY)
    assert len(shown.days) == MAX_DAYS
    assert shown.days[-1].date == TODAY.isoformat()


@pytest.mark.parametrize("build", [daily_json, activity_json])
def test_days_to_come_are_not_shown(build):
    tomorrow = TODAY + timedelta(days=1)
    assert build(used(1), start=tomorrow, end=tomorrow, today=TODAY).days == []
