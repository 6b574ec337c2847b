"""Sums out of the ledger: of whole months and days where it will do, else of 15 minutes.

What a range has of a quarter of an hour at its ends is added up from the requests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from operator import add, neg
from typing import Any

import aiosqlite
import msgspec
import numpy as np

from metrics_svc.model import BUCKET_US
from metrics_svc.periods import DAY_KEYS, Period, periods
from metrics_svc.query import Grain, Question, SumRow
from metrics_svc.storage.calendar import Calendar
from metrics_svc.storage.combos import KINDS
from metrics_svc.storage.conditions import Parameters, of_time
from metrics_svc.storage.dims import values_of
from metrics_svc.storage.measures import MEASURES
from metrics_svc.storage.ranges import (
    Quarters,
    Span,
    Spans,
    clamped,
    quarters,
    whole_days,
    whole_months,
)
from metrics_svc.storage.rolled import (
    DAYS,
    MONTHS,
    Statement,
    Table,
    as_text,
    by_period,
    by_time,
    from_requests,
    quarters_for,
    together,
)
from metrics_svc.storage.shifted import Move, Shifted, shifted

Key = tuple[Any, ...]
Totals = dict[Key, list[int]]


@dataclass(frozen=True, slots=True)
class Source:
    """Where reports are read from: one commit, seen through one connection.

    `sealed` is the first bucket that still has all its requests.
    """

    connection: aiosqlite.Connection
    calendar: Calendar
    sealed: int

    async def rows(self, sql: str, parameters: Parameters) -> list[Key]:
        """Return the rows of a query as tuples."""
        return [tuple(row) for row in await self.connection.execute_fetchall(sql, parameters)]

    async def known(self) -> Span:
        """Return the first bucket of the first day that has sums, and the last one's end."""
        ((first, after),) = await self.rows("select min(first), max(after) from day", {})
        return first or 0, after or 0

    def days_of(
        self, question: Question, whole: Quarters
    ) -> tuple[Spans | None, tuple[Quarters, ...]]:
        """Return the days whose sums will do for a question, and the buckets beside them.

        None where it tells finer times apart, or days of another zone than is configured.
        """
        if question.grain is None or (question.grain in DAY_KEYS and not self.is_abroad(question)):
            return whole_days(whole, self.calendar)
        return None, (whole,)

    def is_abroad(self, question: Question) -> bool:
        """Tell whether a question is about days of another zone than is configured."""
        return question.grain in DAY_KEYS and question.zone.key != self.calendar.zone.key


def period_of(question: Question, bucket: int) -> int | None:
    """Return what stands for the period of a bucket; None where time is not told apart."""
    if question.grain is None:
        return None
    (period,) = periods(question.zone, question.grain, bucket, bucket + 1)
    return period.key


async def read_sums(
    source: Source, question: Question, measures: Sequence[str]
) -> tuple[SumRow, ...]:
    """Add up `measures`. Raises `ValueError` for a name that is none."""
    for name in measures:
        if name not in MEASURES:
            raise ValueError(f"{name!r} is no measure; those are {', '.join(MEASURES)}")
    totals: Totals = {}
    width = 1 + len(question.dimensions)
    parts = quarters(question.scope, source.sealed)
    abroad = source.is_abroad(question)
    reader = _Reader(source, question, (*measures, "records") if abroad else tuple(measures))
    async for rows in reader.parts(parts):
        _add(totals, width, rows)
    if abroad:  # what was moved leaves nothing behind
        totals = {key: sums[:-1] for key, sums in totals.items() if sums[-1]}
    return await named_rows(source, question, totals)


async def named_rows(source: Source, question: Question, totals: Totals) -> tuple[SumRow, ...]:
    """Return totals by time and keys, with texts for their numbers."""
    texts = [name in KINDS for name in question.dimensions]
    ids = {number for key in totals for number, text in zip(key[1:], texts, strict=True) if text}
    names = await values_of(source.connection, ids) if ids else {0: ""}
    rows = [
        SumRow(
            key[0],
            tuple(names[it] if text else it for it, text in zip(key[1:], texts, strict=True)),
            tuple(sums),
        )
        for key, sums in totals.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.time or 0, row.keys)))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the parts of one question: rows of time, keys and sums."""

    source: Source
    question: Question
    measures: tuple[str, ...]

    async def parts(self, parts: Quarters) -> AsyncIterator[Iterable[Key]]:
        """Yield the rows of each part of a range, of the coarsest sums that will do."""
        whole = Quarters(parts.first, parts.after)
        found, beside = self.source.days_of(self.question, whole)
        months: Spans = ()
        days: Spans = found or ()
        if self.question.grain in (None, Grain.MONTH):
            months, days = whole_months(days)
        for span in months:
            yield await self._span(MONTHS, span)
        for span in days:
            yield await self._span(DAYS, span)
        for part in beside:
            yield await self._quarters(part)
        for end in parts.ends:
            yield await self._requests(end)

    async def _span(self, table: Table, days: Span) -> Iterable[Key]:
        grain = self.question.grain
        bounds = of_time(f"used.{table.time}", Quarters(*days))
        if grain is None:
            return await self._rows(together(self.question, self.measures, table, bounds))
        rows = await self._rows(by_time(self.question, self.measures, table, bounds))
        key_of = DAY_KEYS[grain]
        return ((key_of(row[0]), *row[1:]) for row in rows)

    async def _quarters(self, part: Quarters) -> Iterable[Key]:
        question, grain = self.question, self.question.grain
        table = quarters_for(question)
        bounds = of_time("used.bucket", part)
        if grain is None:
            return await self._rows(together(question, self.measures, table, bounds))
        if grain is Grain.QUARTER:
            return await self._rows(by_time(question, self.measures, table, bounds))
        first, after = clamped(part, await self.source.known())
        found = list(periods(question.zone, grain, first, after))
        if self.source.is_abroad(question):
            return await self._abroad(shifted(found, self.source.calendar))
        if not question.dimensions:
            # Buckets come in order, which spares SQLite to sort them by what stands for them.
            each = by_time(question, self.measures, table, bounds)
            ((text,),) = await self._rows(as_text(each, self.measures))
            return await asyncio.to_thread(_by_period, text, found)
        listed = json.dumps([(it.first, it.after, it.key) for it in found])
        return await self._rows(by_period(question, self.measures, table, listed))

    async def _abroad(self, days: Shifted) -> Iterable[Key]:
        """Return the rows of kept days, and of what is moved between them."""
        kept = by_period(self.question, self.measures, DAYS, json.dumps(days.days))
        places = json.dumps([(move.first, move.after, n) for n, move in enumerate(days.moves)])
        table = quarters_for(self.question)
        moved = await self._rows(by_period(self.question, self.measures, table, places))
        return [*await self._rows(kept), *self._moved(moved, days.moves)]

    def _moved(self, rows: Iterable[Key], moves: Sequence[Move]) -> Iterable[Key]:
        width = 1 + len(self.question.dimensions)
        for number, *row in rows:
            move = moves[number]
            if move.to is not None:
                yield (move.to, *row)
            if move.out_of is not None:
                keys, sums = row[: width - 1], row[width - 1 : -1]
                yield (move.out_of, *keys, *map(neg, sums), row[-1])

    async def _requests(self, end: Span) -> Iterable[Key]:
        rows = await self._rows(from_requests(self.question, self.measures, *end))
        time = period_of(self.question, end[0] // BUCKET_US)
        return ((time, *(row if self.question.dimensions else row[1:])) for row in rows)

    async def _rows(self, statement: Statement) -> list[Key]:
        return await self.source.rows(*statement)


def _by_period(text: str, found: Sequence[Period]) -> list[Key]:
    """Add up rows of bucket and sums, in order, by the period that each lies in."""
    rows = np.array(msgspec.json.decode(text), dtype=np.int64)
    if not rows.size:
        return []
    places = np.searchsorted([period.first for period in found], rows[:, 0], side="right") - 1
    begins = np.flatnonzero(np.diff(places, prepend=-1))
    sums = np.add.reduceat(rows[:, 1:], begins)
    keys = [found[place].key for place in places[begins].tolist()]
    return [(key, *row) for key, row in zip(keys, sums.tolist(), strict=True)]


def _add(totals: Totals, width: int, rows: Iterable[Key]) -> None:
    """Add rows of so many values of their key, their sums, and how many they are made of."""
    for row in rows:
        if row[-1]:
            key, sums = row[:width], row[width:-1]
            kept = totals.get(key)
            totals[key] = list(map(add, kept, sums)) if kept else list(sums)
