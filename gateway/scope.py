"""Which requests a report is about, read from a query string.

Pure but for the machine's own time zone. Days are whole local days: `from` and `to`
are both part of the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

from lair.metrics.v1.report_service_pb2 import ReportScope
from svckit.errors import invalid_field


def read_scope(
    query: Mapping[str, str], *, user_id: str, project: str, default_zone: str
) -> ReportScope:
    """Read `tz`, `from` and `to`; `default_zone` empty means the machine's."""
    name = query.get("tz", "")
    zone = _zone(name or default_zone)
    start = _day(query, "from")
    end = _day(query, "to")
    if start and end and end < start:
        raise invalid_field("to", f"to is {end}, before from, which is {start}; swap them")
    return ReportScope(
        user_id=user_id,
        project=project,
        time_zone=name,
        start_time=_midnight(start, zone) if start else None,
        end_time=_midnight(end + timedelta(days=1), zone) if end else None,
    )


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError) as error:
        raise invalid_field(
            "tz", f"tz is {name!r}, which is no IANA time zone; send one like Europe/Berlin"
        ) from error


def _day(query: Mapping[str, str], name: str) -> date | None:
    value = query.get(name)
    if not value:
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError as error:
        raise invalid_field(
            name, f"{name} is {value!r}; send a day written like 2026-11-21"
        ) from error
    if not 1970 < day.year < 9999:  # noqa: PLR2004  # what both a timestamp and a next day can hold
        raise invalid_field(name, f"{name} is {value!r}; send a day from 1971 to 9998")
    return day


def _midnight(day: date, zone: tzinfo | None) -> Timestamp:
    """Return the first moment of a local day; without a zone, the machine's."""
    moment = datetime.combine(day, time(), tzinfo=zone)
    stamp = Timestamp()
    stamp.FromMicroseconds(round(moment.timestamp() * 1_000_000))
    return stamp
