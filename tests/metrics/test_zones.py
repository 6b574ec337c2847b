"""Local days of zones with unusual clocks."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_svc.model import BUCKET_US
from metrics_svc.zones import Days, UnknownZoneError, day_of, iso_date, machine_zone, named_zone
from tests.metrics.events import DAY_US, us

ZONES = [
    "UTC",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
]


def local_day(zone: str, ts_us: int) -> int:
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts_us)
    return time.astimezone(ZoneInfo(zone)).date().toordinal()


@given(
    st.sampled_from(ZONES),
    st.integers(us("2011-01-01"), us("2030-01-01")),
    st.lists(st.integers(0, 400 * DAY_US), min_size=1),
)
def test_days_are_those_of_the_local_clock(zone: str, start: int, offsets: list[int]):
    instants = sorted(start + offset for offset in offsets)
    days = Days(ZoneInfo(zone), instants[0], instants[-1])
    assert [days.day_of(t) for t in instants] == [local_day(zone, t) for t in instants]


@given(st.sampled_from(ZONES), st.integers(us("2012-01-01"), us("2030-01-01")))
def test_a_bucket_lies_within_one_local_day(zone: str, ts_us: int):
    start = ts_us - ts_us % BUCKET_US
    assert local_day(zone, start) == local_day(zone, start + BUCKET_US - 1)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Asia/Beirut", "2026-03-29", 23),  # midnight itself is skipped
        ("America/Sao_Paulo", "2018-02-17", 25),  # midnight goes back to 23:00
        ("Asia/Kathmandu", "2026-03-29", 24),
        ("Pacific/Apia", "2011-12-30", 0),  # the date line moved over it
    ],
)
def test_days_have_the_length_of_the_local_clock(zone: str, day: str, hours: float):
    ordinal = date.fromisoformat(day).toordinal()
    first = us(day) - 2 * DAY_US
    days = Days(ZoneInfo(zone), first, first + 5 * DAY_US)
    quarters = range(first, first + 5 * DAY_US, BUCKET_US)
    assert sum(days.day_of(ts_us) == ordinal for ts_us in quarters) == hours * 4


def test_the_day_apia_skipped_has_no_instant():
    before = us("2011-12-29T23:59:59.999999-10:00")
    zone = ZoneInfo("Pacific/Apia")
    assert [iso_date(day_of(zone, ts_us)) for ts_us in (before, before + 1)] == [
        "2011-12-29",
        "2011-12-31",
    ]


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "Europe", "/etc/localtime", ""])
def test_what_is_no_zone_is_refused_by_name(name: str):
    with pytest.raises(UnknownZoneError, match="is no IANA time zone"):
        named_zone(name)


@pytest.mark.parametrize(
    "value", ["Asia/Kathmandu", ":Asia/Kathmandu", "/usr/share/zoneinfo/Asia/Kathmandu"]
)
def test_the_machines_zone_is_that_of_tz(value: str, tmp_path: Path):
    assert machine_zone({"TZ": value}, tmp_path / "localtime").key == "Asia/Kathmandu"


def test_the_machines_zone_is_that_of_localtime_where_tz_names_none(tmp_path: Path):
    file = tmp_path / "zoneinfo" / "Asia" / "Kathmandu"
    file.parent.mkdir(parents=True)
    file.touch()
    localtime = tmp_path / "localtime"
    localtime.symlink_to(file)
    assert machine_zone({}, localtime).key == "Asia/Kathmandu"
    assert machine_zone({"TZ": "<+0545>-5:45"}, localtime).key == "Asia/Kathmandu"


def test_the_machines_zone_is_utc_where_nothing_names_one(tmp_path: Path):
    assert machine_zone({}, tmp_path / "localtime").key == "UTC"
