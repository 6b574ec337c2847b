"""The ledger as one connection sees it: what `MetricsStore.reading` lends."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from sqlite3 import Row

from metrics_svc.model import Attempt, Page, Position, Scope, Status
from metrics_svc.query import BusyRow, DistinctRow, HopRow, Question, SpreadRow, SumRow
from metrics_svc.storage.busy import read_busy
from metrics_svc.storage.combos import KINDS
from metrics_svc.storage.conditions import of_scope, of_time
from metrics_svc.storage.dims import values_of
from metrics_svc.storage.presence import read_distincts
from metrics_svc.storage.ranges import Quarters, quarters
from metrics_svc.storage.rows import OWN_LABELS, read_attempt, read_request
from metrics_svc.storage.spread_reading import read_spreads
from metrics_svc.storage.sums import Source, read_sums

_PAGE = """
select request.*, combo.* from request cross join combo on combo.id = request.combo
where {owner} and {time} order by second desc, ts_us desc, request.id desc limit :limit
"""
_FROM = "second >= :start_us / 1000000 and ts_us >= :start_us"
_BEFORE = "second <= :end_us / 1000000 and ts_us < :end_us"
_AFTER = "second <= :after_us / 1000000 and (ts_us, request.id) < (:after_us, :after_id)"

_HOPS = """
select backend, model, status, to_backend, to_model, sum(n) as count,
  sum(duration_us) as duration_us
from hop15 join who on who.id = hop15.who where {time} and {owner} group by 1, 2, 3, 4, 5
order by count desc, 1, 2, 3, 4, 5
"""
_HOP_NAMES = ("backend", "model", "to_backend", "to_model")


class SqliteLedger:
    """A `Ledger` over one snapshot of the file."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def sums(self, question: Question, measures: Sequence[str]) -> tuple[SumRow, ...]:
        """Add up `measures`."""
        return await read_sums(self._source, question, measures)

    async def distincts(self, question: Question) -> tuple[DistinctRow, ...]:
        """Count different sessions and the like."""
        return await read_distincts(self._source, question)

    async def spreads(self, question: Question) -> tuple[SpreadRow, ...]:
        """Return distributions."""
        return await read_spreads(self._source, question)

    async def hops(self, scope: Scope) -> tuple[HopRow, ...]:
        """Return the tries that failed before another backend was asked, most first.

        Each quarter of an hour counts whole, to where it begins.
        """
        parts = quarters(scope, 2**62)
        time, bounds = of_time("bucket", Quarters(parts.first, parts.after))
        owner, parameters = of_scope(scope, "who")
        connection = self._source.connection
        rows = list(
            await connection.execute_fetchall(
                _HOPS.format(time=time, owner=owner), {**parameters, **bounds}
            )
        )
        names = await values_of(connection, [row[name] for row in rows for name in _HOP_NAMES])
        return tuple(
            HopRow(
                **{name: names[row[name]] for name in _HOP_NAMES},
                status=Status(row["status"]),
                count=row["count"],
                duration_us=row["duration_us"],
            )
            for row in rows
        )

    async def busy(self, scope: Scope) -> tuple[BusyRow, ...]:
        """Return how long each backend worked."""
        return await read_busy(self._source, scope)

    async def requests(self, scope: Scope, limit: int, after: Position | None) -> Page:
        """List at most `limit` requests of `scope`, the latest first, from `after` on."""
        owner, parameters = of_scope(scope, "combo")
        conditions = {
            "start_us": (_FROM, scope.start_us),
            "end_us": (_BEFORE, scope.end_us),
            "after_us": (_AFTER, after and after.ts_us),
        }
        used = {name: it for name, it in conditions.items() if it[1] is not None}
        time = " and ".join(text for text, _ in used.values()) or "true"
        bounds = {name: value for name, (_, value) in used.items()}
        found = list(
            await self._source.connection.execute_fetchall(
                _PAGE.format(owner=owner, time=time),
                {**parameters, **bounds, "after_id": after and after.row, "limit": limit + 1},
            )
        )
        return await self._page(found, limit)

    async def _page(self, found: Sequence[Row], limit: int) -> Page:
        page, more = found[:limit], len(found) > limit
        connection = self._source.connection
        attempts = await connection.execute_fetchall(
            "select * from attempt where request in (select value from json_each(?))"
            " order by request, n",
            (json.dumps([row["id"] for row in page]),),
        )
        labels = [row[name] for row in page for name in (*KINDS, *OWN_LABELS)]
        labels += [row[name] for row in attempts for name in ("backend", "model")]
        names = await values_of(connection, labels)
        tries: defaultdict[int, list[Attempt]] = defaultdict(list)
        for row in attempts:
            tries[row["request"]].append(read_attempt(row, names))
        return Page(
            rows=tuple(read_request(row, tries[row["id"]], names) for row in page),
            next=Position(page[-1]["ts_us"], page[-1]["id"]) if more else None,
        )
