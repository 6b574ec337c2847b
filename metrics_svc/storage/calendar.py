"""The local days that sums are kept for: those of the zone lair is configured with."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

import aiosqlite

from metrics_svc.model import BUCKET_US
from metrics_svc.storage.crowds import count_all
from metrics_svc.storage.measures import COLUMNS, SUMS
from metrics_svc.zones import bounds_us, day_of, month_of

_DROP = tuple(
    f"delete from {table}"  # noqa: S608  # fixed names
    for table in ("zone", "day", "usage_day", "usage_month", "presence_day")
)
_SUM_UP = (
    f"""
insert into usage_day (day, combo, {COLUMNS}) select day, combo, {SUMS}
from day cross join usage15 on bucket >= first and bucket < after group by 1, 2
""",  # noqa: S608  # fixed names
    f"""
insert into usage_month (month, combo, {COLUMNS}) select month, combo, {SUMS}
from day cross join usage_day on usage_day.day = day.day group by 1, 2
""",  # noqa: S608  # fixed names
)


class Calendar:
    """The days of one zone. Made by `kept_calendar`."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone

    def day_of(self, bucket: int) -> int:
        """Return the local day that a bucket lies in."""
        return day_of(self.zone, bucket * BUCKET_US)

    def bounds(self, day: int) -> tuple[int, int]:
        """Return the first bucket of a day and the one after its last."""
        first_us, after_us = bounds_us(self.zone, day)
        return first_us // BUCKET_US, after_us // BUCKET_US

    async def add_days(self, tx: aiosqlite.Connection, buckets: Iterable[int]) -> None:
        """Note the days of `buckets` in `day`."""
        days = sorted({self.day_of(bucket) for bucket in buckets})
        await tx.executemany(
            "insert into day values (?, ?, ?, ?) on conflict do nothing",
            [(day, *self.bounds(day), month_of(day)) for day in days],
        )


async def kept_calendar(tx: aiosqlite.Connection, zone: ZoneInfo) -> Calendar:
    """Return the calendar of `zone`; sum up its days anew where they were another's.

    They are made of the sums of 15 minutes, so nothing is lost with requests long deleted.
    """
    calendar = Calendar(zone)
    names = await tx.execute_fetchall("select name from zone")
    if [row["name"] for row in names] == [zone.key]:
        return calendar
    for statement in _DROP:
        await tx.execute(statement)
    await tx.execute("insert into zone values (?)", (zone.key,))
    buckets = await tx.execute_fetchall("select distinct bucket from usage15")
    await calendar.add_days(tx, [row["bucket"] for row in buckets])
    for statement in _SUM_UP:
        await tx.execute(statement)
    await count_all(tx)
    return calendar
