"""Which days a question is about. Pure but for the machine's own time zone.

Days are whole local days: `from` and `to` are both part of what is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import UnsetType

from svckit.errors import invalid_field

_YEARS = range(2000, 3000)


@dataclass(frozen=True, slots=True)
class Span:
    """A time from `start` to before `end`; None is open. Both days are part of it."""

    first: date | None
    last: date | None
    start: Timestamp | None
    end: Timestamp | None


def read_span(
    start: date | UnsetType, end: date | UnsetType, tz: str | UnsetType, *, default_zone: str
) -> Span:
    """Place the days `from` and `to` in their zone; `default_zone` empty means the machine's."""
    zone = read_zone(tz or default_zone)
    first = _possible("from", start)
    last = _possible("to", end)
    if first and last and last < first:
        raise invalid_field("to", f"to is {last}, before from, which is {first}; swap them")
    return Span(
        first=first,
        last=last,
        start=_midnight(first, zone) if first else None,
        end=_midnight(last + timedelta(days=1), zone) if last else None,
    )


def read_zone(name: str) -> tzinfo | None:
    """Return the zone of this name, None for the machine's. Raises INVALID_FIELD `tz`."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError) as error:
        raise invalid_field(
            "tz", f"tz is {name!r}, which is no IANA time zone; send one like Europe/Berlin"
        ) from error


def _possible(name: str, day: date | UnsetType) -> date | None:
    if isinstance(day, UnsetType):
        return None
    if day.year not in _YEARS:
        raise invalid_field(
            name, f"{name} is {day}; send a day of the years {_YEARS[0]} to {_YEARS[-1]}"
        )
    return day


def _midnight(day: date, zone: tzinfo | None) -> Timestamp:
    """Return the first moment of a local day; without a zone, the machine's."""
    moment = datetime.combine(day, time(), tzinfo=zone)
    stamp = Timestamp()
    stamp.FromMicroseconds(round(moment.timestamp() * 1_000_000))
    return stamp
