"""The parts that a range of time is told apart by: local hours, days, weeks and the like.

Each is found from the instants at which local days begin and clocks change, never from
one offset for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from metrics_svc.model import BUCKET_US
from metrics_svc.query import Grain
from metrics_svc.zones import bounds_us, day_of, month_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BUCKET = timedelta(microseconds=BUCKET_US)
_BUCKETS_AN_HOUR = 4


@dataclass(frozen=True, slots=True)
class Period:
    """Buckets from `first` to before `after`, and what stands for them."""

    first: int
    after: int
    key: int


# What stands for a whole day.
DAY_KEYS: dict[Grain, Callable[[int], int]] = {
    Grain.DAY: lambda day: day,
    Grain.WEEK: lambda day: day - (day - 1) % 7,
    Grain.MONTH: month_of,
    Grain.WEEKDAY: lambda day: (day - 1) % 7,
}


def periods(zone: ZoneInfo, grain: Grain, first: int, after: int) -> Iterator[Period]:
    """Yield what the buckets from `first` to before `after` are told apart by, in order."""
    if grain is Grain.QUARTER:
        yield from (Period(bucket, bucket + 1, bucket) for bucket in range(first, after))
        return
    at = first
    while at < after:
        day = day_of(zone, at * BUCKET_US)
        end = bounds_us(zone, day)[1] // BUCKET_US
        if grain in DAY_KEYS:
            yield Period(at, min(after, end), DAY_KEYS[grain](day))
        else:
            for hour in _hours(zone, day):
                if hour.after > at and hour.first < after:
                    key = _hour_key(grain, day, hour)
                    yield Period(max(at, hour.first), min(after, hour.after), key)
        at = end


@lru_cache(maxsize=2048)
def _hours(zone: ZoneInfo, day: int) -> tuple[Period, ...]:
    """Return the local hours of a day, which are shorter or longer where clocks change."""
    at, after = (us // BUCKET_US for us in bounds_us(zone, day))
    hours = []
    while at < after:
        local = _local(zone, at)
        end = min(after, at + _BUCKETS_AN_HOUR - local.minute // 15)
        while end - 1 > at and not _same_hour(local, _local(zone, end - 1)):
            end -= 1
        hours.append(Period(at, end, local.hour))
        at = end
    return tuple(hours)


def _local(zone: ZoneInfo, bucket: int) -> datetime:
    return (_EPOCH + bucket * _BUCKET).astimezone(zone)


def _same_hour(one: datetime, other: datetime) -> bool:
    return one.hour == other.hour and one.utcoffset() == other.utcoffset()


def _hour_key(grain: Grain, day: int, hour: Period) -> int:
    if grain is Grain.HOUR:
        return hour.first
    return hour.key if grain is Grain.HOUR_OF_DAY else (day - 1) % 7 * 24 + hour.key
