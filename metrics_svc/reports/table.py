"""Any measures of any requests, told apart by any dimensions: the table that others are of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from metrics_svc.model import BUCKET_US, Scope, Status
from metrics_svc.query import LANE, WHO, Grain, Question, Value
from metrics_svc.reports.columns import DIMENSIONS, MEASURES, Dimension, Measure, Part
from metrics_svc.storage.base import Ledger

MAX_ROWS = 10_000
GRAINS = {grain.value: grain for grain in Grain}
_ENDED = "status"
_MOMENTS = (Grain.QUARTER, Grain.HOUR)
_DATES = (Grain.DAY, Grain.WEEK, Grain.MONTH)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BUCKET = timedelta(microseconds=BUCKET_US)

_Column = TypeVar("_Column", Dimension, Measure, Grain)
Place = tuple[int | None, tuple[Value, ...]]


class AskedWronglyError(ValueError):
    """A table cannot be made as it is asked for; `field` is at fault, the message says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A table to make: which requests, told apart by what, and its measures, by name."""

    question: Question
    dimensions: tuple[Dimension, ...]
    measures: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its time, empty without granularity, its dimensions, and its measures."""

    time: str
    keys: tuple[str, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows by time and dimensions, and how many were left out."""

    rows: tuple[TableRow, ...]
    omitted: int


def wanted(
    scope: Scope,
    zone: ZoneInfo,
    *,
    dimensions: Sequence[str],
    measures: Sequence[str],
    filters: Iterable[tuple[str, str]] = (),
    granularity: str = "",
) -> Wanted:
    """Return the table that these names ask for. Raises `AskedWronglyError`."""
    if not measures:
        raise AskedWronglyError("measures", f"none is named; those are {', '.join(MEASURES)}")
    columns = tuple(_named("dimensions", name, DIMENSIONS) for name in dict.fromkeys(dimensions))
    found = tuple(_named("measures", name, MEASURES) for name in measures)
    question = Question(
        scope=scope,
        filters=_filters(filters),
        dimensions=tuple(it.column for it in columns),
        grain=_named("granularity", granularity, GRAINS) if granularity else None,
        zone=zone,
    )
    for name, measure in zip(measures, found, strict=True):
        _check(name, measure, question)
    return Wanted(question=question, dimensions=columns, measures=found)


async def read_table(ledger: Ledger, table: Wanted, limit: int) -> Table:
    """Make the first `limit` rows of a table."""
    parts = await _parts(ledger, table)
    rows = [
        TableRow(
            time="" if time is None else _time(table.question, time),
            keys=tuple(it.shown(key) for it, key in zip(table.dimensions, keys, strict=True)),
            values=tuple(measure.of(part) for measure in table.measures),
        )
        for (time, keys), part in sorted(parts.items(), key=lambda it: (it[0][0] or 0, it[0][1]))
    ]
    return Table(tuple(rows[:limit]), max(0, len(rows) - limit))


async def _parts(ledger: Ledger, table: Wanted) -> Mapping[Place, Part]:
    question = table.question
    names = tuple(dict.fromkeys(("records", "requests", *_of(table.measures))))
    nothing = dict.fromkeys(names, 0)
    parts: defaultdict[Place, Part] = defaultdict(lambda: Part(dict(nothing)))
    if not question.dimensions and question.grain is None:
        parts[None, ()] = Part(dict(nothing))  # a sum of nothing is a row all the same
    by_status = any(measure.statuses for measure in table.measures)
    finer = replace(question, dimensions=(*question.dimensions, _ENDED)) if by_status else question
    width = len(question.dimensions)
    for row in await ledger.sums(finer, names):
        part = parts[row.time, row.keys[:width]]
        for name, number in zip(names, row.sums, strict=True):
            part.sums[name] += number
        if by_status:
            status = Status(row.keys[-1])
            part.statuses[status] = part.statuses.get(status, 0) + row.sums[1]
    if any(measure.distinct for measure in table.measures):
        for different in await ledger.distincts(question):
            parts[different.time, different.keys].distinct = different.distinct
    if any(measure.spreads for measure in table.measures):
        for spread in await ledger.spreads(question):
            parts[None, spread.keys].spreads = spread.spreads
    return parts


def _of(measures: Iterable[Measure]) -> list[str]:
    return [name for measure in measures for name in measure.sums]


def _named(field: str, name: str, known: Mapping[str, _Column]) -> _Column:
    if name not in known:
        raise AskedWronglyError(field, f"{name!r} is unknown; those are {', '.join(known)}")
    return known[name]


def _filters(asked: Iterable[tuple[str, str]]) -> Mapping[str, Sequence[Value]]:
    found: defaultdict[str, list[Value]] = defaultdict(list)
    for name, text in asked:
        dimension = _named("filters", name, DIMENSIONS)
        value = dimension.read(text)
        if value is None:
            words = ", ".join(dimension.words.values()) or "numbers"
            raise AskedWronglyError("filters", f"{name} is never {text!r}; it is one of {words}")
        found[dimension.column].append(value)
    return dict(found)


def _check(name: str, measure: Measure, question: Question) -> None:
    """Refuse a measure that is not kept by all that the question tells apart."""
    known: Sequence[str] = ()
    if measure.distinct:
        known = WHO
    elif measure.spreads:
        known = LANE
        if question.grain:
            raise AskedWronglyError(
                "granularity", f"{name} is not told apart by time; leave one of both out"
            )
    else:
        return
    for column in (*question.dimensions, *question.filters):
        if column not in known:
            public = {it.column: name for name, it in DIMENSIONS.items()}
            raise AskedWronglyError(
                "measures",
                f"{name} is not told apart by {public[column]}, only by "
                f"{', '.join(public[it] for it in known)}; ask for it by itself",
            )


def _time(question: Question, time: int) -> str:
    grain = question.grain
    if grain in _DATES:
        return date.fromordinal(time).isoformat()
    if grain in _MOMENTS:
        return (_EPOCH + time * _BUCKET).astimezone(question.zone).isoformat()
    return str(time)
