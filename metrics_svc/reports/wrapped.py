"""A year in figures, for a card that its user may show to others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from zoneinfo import ZoneInfo

from metrics_svc.model import Scope
from metrics_svc.query import Question, SumRow
from metrics_svc.reports import shares
from metrics_svc.reports.activity import Activity, ActivityUse, Chart, activity, read_activity
from metrics_svc.reports.cost import COST_SUMS, cost_of
from metrics_svc.reports.dashboard import Dashboard, dashboard
from metrics_svc.reports.savings import Saving, SavingsUse, read_savings, savings
from metrics_svc.reports.shares import Piece, Share
from metrics_svc.reports.totals import Totals, totals
from metrics_svc.reports.use import Use, read_use
from metrics_svc.storage.base import Ledger
from metrics_svc.zones import bounds_us, day_of

_TOP = 5
_FEBRUARY = 2
_LEAP_DAY = 29


@dataclass(frozen=True, slots=True)
class Year:
    """A year of a zone until today: its days, all included, and the same of the year before."""

    year: int
    chart: Chart
    before: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class YearUse:
    """All that the report is made of."""

    use: Use
    before: Use
    activity: ActivityUse
    savings: SavingsUse
    projects: tuple[Share, ...]
    clients: tuple[Share, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A year: `board` is its dashboard, whose shares are the top ones, and `days` its chart."""

    year: int
    board: Dashboard
    activity: Activity
    busiest_hour: int | None
    tool_calls: int
    saving: Saving
    projects: tuple[Share, ...]
    clients: tuple[Share, ...]
    names_hidden: bool


def year_of(scope: Scope, year: int, zone: ZoneInfo, now_us: int) -> Year:
    """Return the days of a year that have begun, for the requests of `scope`."""
    today = date.fromordinal(day_of(zone, now_us))
    first, end = date(year, 1, 1), date(year + 1, 1, 1)
    if first <= today < end:
        end = date.fromordinal(today.toordinal() + 1)
    last_year = _scope(scope, zone, date(year - 1, 1, 1), _a_year_before(end))
    last = end.toordinal() - 1 if first <= today else first.toordinal() - 1
    chart = Chart(first.toordinal(), last, _scope(scope, zone, first, end))
    return Year(year, chart, last_year)


async def read_year(ledger: Ledger, year: Year, zone: ZoneInfo) -> YearUse:
    """Read what was used in a year, and in the one before."""
    scope = year.chart.scope
    return YearUse(
        use=await read_use(ledger, scope, zone),
        before=await read_use(ledger, year.before, zone),
        activity=await read_activity(ledger, year.chart, zone),
        savings=await read_savings(ledger, scope),
        projects=await _shares(ledger, scope, "project"),
        clients=await _shares(ledger, scope, "client"),
    )


def wrapped(
    used: YearUse,
    year: Year,
    zone: ZoneInfo,
    now_us: int,
    *,
    kwh_usd: float | None,
    hide_names: bool,
) -> Wrapped:
    """Sum up a year."""
    top = _nameless if hide_names else _top
    board = dashboard(used.use, zone, now_us, _before(used.before, year.before))
    return Wrapped(
        year=year.year,
        board=replace(board, models=top(board.models), backends=top(board.backends)),
        activity=activity(used.activity, year.chart, zone, now_us),
        busiest_hour=_busiest_hour(used.activity),
        tool_calls=sum(group.tool_calls for group in used.use.groups),
        saving=savings(used.savings, kwh_usd).total,
        projects=top(used.projects),
        clients=top(used.clients),
        names_hidden=hide_names,
    )


def _scope(scope: Scope, zone: ZoneInfo, first: date, end: date) -> Scope:
    start_us, end_us = (bounds_us(zone, day.toordinal())[0] for day in (first, end))
    return replace(scope, start_us=start_us, end_us=end_us)


def _a_year_before(end: date) -> date:
    if (end.month, end.day) == (_FEBRUARY, _LEAP_DAY):
        return date(end.year - 1, 3, 1)
    return end.replace(year=end.year - 1)


async def _shares(ledger: Ledger, scope: Scope, dimension: str) -> tuple[Share, ...]:
    question = Question(scope=scope, dimensions=(dimension,))
    rows = await ledger.sums(question, ("active", "tokens", *COST_SUMS))
    return shares.shared(_piece(row) for row in rows)


def _piece(row: SumRow) -> Piece:
    requests, tokens, *costs = row.sums
    return Piece(str(row.keys[0]), requests, tokens, cost_of(*costs))


def _before(use: Use, scope: Scope) -> Totals | None:
    """Return the totals of the year before; None if nothing was used."""
    found = totals(use, scope.start_us or 0, scope.end_us or 0)
    return found if found.requests or found.tokens else None


def _busiest_hour(use: ActivityUse) -> int | None:
    hours: Counter[int] = Counter()
    for place, (requests, _) in use.hours.items():
        hours[place % 24] += requests
    return min(hours, key=lambda hour: (-hours[hour], hour)) if hours.total() else None


def _top(found: Sequence[Share]) -> tuple[Share, ...]:
    return tuple(found[:_TOP])


def _nameless(found: Iterable[Share]) -> tuple[Share, ...]:
    return tuple(replace(share, name="") for share in _top(tuple(found)))
