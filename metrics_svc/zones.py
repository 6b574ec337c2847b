"""Local days of an IANA time zone.

A day is found from the list of instants at which days begin, never from one
offset: days of 23, 24.5 and 25 hours exist, and dates that a zone skipped.
Since 1972 all offsets are multiples of 15 minutes, so a 15-minute bucket lies
within one local day.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class UnknownZoneError(ValueError):
    """A name is no IANA time zone; the message says what to write."""


def named_zone(name: str) -> ZoneInfo:
    """Return the zone called `name`. Raises `UnknownZoneError`."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: `Europe` is a folder
        raise UnknownZoneError(
            f"{name!r} is no IANA time zone; write one like 'Europe/Berlin'"
        ) from error


def machine_zone(
    environment: Mapping[str, str] = os.environ, localtime: Path = Path("/etc/localtime")
) -> ZoneInfo:
    """Return this machine's zone: of `TZ`, else of `/etc/localtime`, else UTC.

    A `TZ` that names no zone (`CET-1CEST`) has no days that can be told by name,
    and is passed over.
    """
    for name in (environment.get("TZ", "").removeprefix(":"), str(localtime.resolve())):
        # Both may be paths: /usr/share/zoneinfo/Europe/Berlin.
        key = name.rpartition("zoneinfo/")[2]
        if not key or key.startswith("/"):
            continue
        try:
            return named_zone(key)
        except UnknownZoneError:
            continue
    return ZoneInfo("UTC")


def day_of(zone: ZoneInfo, ts_us: int) -> int:
    """Return the local day of one instant."""
    return (_EPOCH + ts_us * _MICROSECOND).astimezone(zone).toordinal()


def bounds_us(zone: ZoneInfo, day: int) -> tuple[int, int]:
    """Return the first instant of a local day, and that of the next one."""
    return _start_us(zone, day), _start_us(zone, day + 1)


class Days:
    """The local days between two instants, to look many instants up in."""

    def __init__(self, zone: ZoneInfo, first_us: int, last_us: int) -> None:
        self._first = day_of(zone, first_us)
        last = day_of(zone, last_us)
        self._starts = [_start_us(zone, day) for day in range(self._first, last + 1)]

    def day_of(self, ts_us: int) -> int:
        """Return the local day of `ts_us`, which lies between the two instants."""
        # A date that the zone skipped begins with the next one: the later is right.
        return self._first + bisect_right(self._starts, ts_us) - 1


def month_of(day: int) -> int:
    """Return the first day of a day's month."""
    return date.fromordinal(day).replace(day=1).toordinal()


def iso_date(day: int) -> str:
    """Write a day as `2026-11-21`."""
    return date.fromordinal(day).isoformat()


@lru_cache(maxsize=8192)
def _start_us(zone: ZoneInfo, day: int) -> int:
    """Return the first instant of a local day.

    `fold=0` is the first of two midnights, and for a midnight that clocks jump
    over it is the instant of the jump: both are when the day begins.
    """
    midnight = datetime.combine(date.fromordinal(day), datetime.min.time(), zone)
    return (midnight.astimezone(UTC) - _EPOCH) // _MICROSECOND
