"""Local hours, days, weeks and months, where clocks change and days are missing."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from metrics_svc.model import BUCKET_US
from metrics_svc.periods import Period, periods
from metrics_svc.query import Grain
from tests.metrics.events import DAY_US, us


def of(zone: str, grain: Grain, start: str, days: int = 1) -> list[Period]:
    first = us(start) // BUCKET_US
    return list(periods(ZoneInfo(zone), grain, first, first + days * DAY_US // BUCKET_US))


@pytest.mark.parametrize("grain", list(Grain))
@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Europe/Berlin", "Asia/Kathmandu"])
def test_periods_follow_each_other_without_gap_or_overlap(zone: str, grain: Grain):
    found = of(zone, grain, "2026-10-03T05:15:00", 30)
    assert found[0].first == us("2026-10-03T05:15:00") // BUCKET_US
    assert all(one.after == other.first for one, other in pairwise(found))
    assert found[-1].after == us("2026-11-02T05:15:00") // BUCKET_US


def test_an_hour_that_comes_twice_is_two_hours_and_one_hour_of_the_day():
    start = "2026-10-24T22:00:00"  # midnight in Berlin; the day has 25 hours
    hours = of("Europe/Berlin", Grain.HOUR, start)
    assert len(hours) == len({hour.key for hour in hours}) == 24
    assert [it.key for it in of("Europe/Berlin", Grain.HOUR_OF_DAY, start)][:5] == [0, 1, 2, 2, 3]


def test_half_an_hour_may_be_missing():
    lengths = [it.after - it.first for it in of("Australia/Lord_Howe", Grain.HOUR, "2026-10-03")]
    # At two o'clock the clock was put forward to half past two.
    assert sorted(set(lengths)) == [2, 4]


def test_a_date_that_a_zone_skipped_is_none_of_its_days():
    days = of("Pacific/Apia", Grain.DAY, "2011-12-29T10:00:00", 3)
    names = [date.fromordinal(it.key).isoformat() for it in days]
    assert names == ["2011-12-29", "2011-12-31", "2012-01-01"]


def test_weeks_begin_on_monday_and_months_on_their_first():
    weeks = {it.key for it in of("UTC", Grain.WEEK, "2024-02-26", 9)}
    assert {date.fromordinal(key).isoformat() for key in weeks} == {"2024-02-26", "2024-03-04"}
    months = [it.key for it in of("UTC", Grain.MONTH, "2024-02-28", 3)]
    names = [date.fromordinal(key).isoformat() for key in months]
    assert names == ["2024-02-01", "2024-02-01", "2024-03-01"]
    assert [it.key for it in of("UTC", Grain.WEEKDAY, "2024-02-26", 2)] == [0, 1]
    assert of("UTC", Grain.HOUR_OF_WEEK, "2024-02-27T05:00:00")[0].key == 24 + 5


def test_an_hour_is_named_by_its_beginning_though_the_range_begins_later():
    (first, *_) = of("Asia/Kathmandu", Grain.HOUR, "2026-01-01T00:45:00")
    assert first.key * BUCKET_US == us("2026-01-01T00:15:00")
