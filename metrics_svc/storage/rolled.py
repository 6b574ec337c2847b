"""Statements that add up tables of sums: which columns, told apart and narrowed by what."""

from __future__ import annotations

from dataclasses import dataclass

from metrics_svc.query import DIMENSIONS, WHO, Question
from metrics_svc.storage.conditions import Parameters, alike
from metrics_svc.storage.measures import raw_sums, rolled_sums

Statement = tuple[str, Parameters]
Measures = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of sums: its column of time, and the table that tells its rows apart."""

    name: str
    time: str
    kind: str = "combo"


MONTHS = Table("usage_month", "month")
DAYS = Table("usage_day", "day")
QUARTERS = Table("usage15", "bucket")
QUARTERS_BY_WHO = Table("usage15_who", "bucket", "who")

_PERIODS = """
with period as materialized (
  select value ->> 0 as first, value ->> 1 as after, value ->> 2 as key from json_each(:periods)
)
"""


def quarters_for(question: Question) -> Table:
    """Return the smallest table of 15 minutes that has what a question is about."""
    wanted = {*question.dimensions, *question.filters}
    return QUARTERS_BY_WHO if wanted <= {*WHO} else QUARTERS


def by_time(question: Question, measures: Measures, table: Table, bounds: Statement) -> Statement:
    """Add up for each value of the table's time, within `bounds`, a condition on it."""
    source = f"{table.name} as used"
    return _grouped(question, measures, table.kind, source, bounds, time=f"used.{table.time}")


def as_text(statement: Statement, measures: Measures) -> Statement:
    """Return all rows of `by_time` as one JSON text, which is much faster to hand over."""
    sql, parameters = statement
    columns = ", ".join(("time", *measures, "n"))
    return f"select json_group_array(json_array({columns})) from ({sql})", parameters  # noqa: S608  # fixed names


def by_period(question: Question, measures: Measures, table: Table, periods: str) -> Statement:
    """Add up for each of the periods, a JSON list of first, after and key."""
    source = (
        f"period cross join {table.name} as used"
        f" on used.{table.time} >= period.first and used.{table.time} < period.after"
    )
    bounds = ("true", {"periods": periods})
    sql, parameters = _grouped(question, measures, table.kind, source, bounds, time="period.key")
    return _PERIODS + sql, parameters


def together(question: Question, measures: Measures, table: Table, bounds: Statement) -> Statement:
    """Add up without regard to time.

    First by combo: there are few of them, and then little to sort.
    """
    source = f"{table.name} as used"
    if not question.dimensions:
        return _grouped(question, measures, table.kind, source, bounds, time="null")
    where, parameters = bounds
    sums = rolled_sums(measures)
    before = (
        f"with summed as (select used.{table.kind}{sums}, count(*) as n from {source}"  # noqa: S608  # fixed names
        f" where {where} group by used.{table.kind})"
    )
    inside = ("used.n", parameters)
    sql, values = _grouped(question, measures, table.kind, "summed as used", inside, time="null")
    return before + sql, values


def from_requests(question: Question, measures: Measures, start_us: int, end_us: int) -> Statement:
    """Add up requests themselves; the rows have no time."""
    where, parameters = alike(question, "combo", DIMENSIONS)
    columns = ", ".join(f"combo.{name}" for name in question.dimensions)
    sql = (
        f"select {columns or 'null'}{raw_sums(measures)}, count(*)"  # noqa: S608  # fixed names
        " from request cross join combo on combo.id = request.combo"
        " where request.second >= :start / 1000000 and request.second <= :end / 1000000"
        f" and request.ts_us >= :start and request.ts_us < :end and {where}"
        + (f" group by {columns}" if columns else "")
    )
    return sql, {**parameters, "start": start_us, "end": end_us}


def _grouped(
    question: Question, measures: Measures, kind: str, source: str, bounds: Statement, *, time: str
) -> Statement:
    where, values = alike(question, kind, DIMENSIONS)
    columns = [f"{kind}.{name}" for name in question.dimensions]
    join = f" cross join {kind} on {kind}.id = used.{kind}" if columns or values else ""
    grouped = [it for it in (time, *columns) if it != "null"]
    sums = rolled_sums(measures)
    sql = (
        f" select {', '.join([f'{time} as time', *columns])}{sums}, count(*) as n"  # noqa: S608  # fixed names
        f" from {source}{join} where {bounds[0]} and {where}"
        + (f" group by {', '.join(grouped)}" if grouped else "")
    )
    return sql, {**values, **bounds[1]}
