"""Which days the commands are about. Days are those of a zone, and both ends are part of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import typer

# A year of days, the last included.
_YEAR = timedelta(days=364)


@dataclass(frozen=True, slots=True)
class Period:
    """From `first` to `last`, both included; None is open."""

    first: date | None
    last: date | None

    def query(self) -> dict[str, str]:
        """Name the days as REST does."""
        named = {"from": self.first, "to": self.last}
        return {name: day.isoformat() for name, day in named.items() if day}


ALWAYS = Period(None, None)


def period(
    *,
    year: int | None,
    since: datetime | None,
    until: datetime | None,
    days: int | None,
    today: date,
) -> Period:
    """Return the days that these options mean: without any, the year until today."""
    if year is not None:
        if since or until or days:
            raise typer.BadParameter("--year goes without --from, --to and --days")
        return Period(date(year, 1, 1), date(year, 12, 31))
    if since and days:
        raise typer.BadParameter("--days goes without --from; with --to they end on that day")
    last = until.date() if until else today
    if since and last < since.date():
        raise typer.BadParameter(f"--from {since.date()} is after {last}")
    back = timedelta(days=days - 1) if days else _YEAR
    return Period(since.date() if since else last - back, last)


def today(zone: str, configured: str) -> date:
    """Return what day it is in a zone, else in the configured one, else on this machine."""
    name = zone or configured
    try:
        return datetime.now(ZoneInfo(name) if name else None).date()
    except (KeyError, ValueError, OSError) as error:
        raise typer.BadParameter(
            f"{name!r} is no IANA time zone; say one like Europe/Berlin", param_hint="--tz"
        ) from error
