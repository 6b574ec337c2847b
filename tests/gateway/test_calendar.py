"""Days one by one: idle ones stand between active ones."""

from __future__ import annotations

from datetime import date, timedelta

from gateway.dialects.rest_calendar import MAX_DAYS, daily_json
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


def test_days_begin_with_the_first_active_one():
    daily = daily_json(used(2, 0, 1), start=None, end=None, today=TODAY)
    assert [(day.requests, day.active) for day in daily.days] == [
        (2, True),
        (0, False),
        (1, True),
    ]


def test_of_a_longer_time_the_last_ten_years_are_shown():
    shown = daily_json(used(1), start=date(2000, 1, 1), end=date(2999, 1, 1), today=TODAY)
    assert len(shown.days) == MAX_DAYS
    assert shown.days[-1].date == TODAY.isoformat()


def test_days_to_come_are_not_shown():
    tomorrow = TODAY + timedelta(days=1)
    assert daily_json(used(1), start=tomorrow, end=tomorrow, today=TODAY).days == []
