"""The durable queue of vectors to make, and the vectors that were made."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence

import aiosqlite
import numpy as np

from memory_svc.model import IndexCounts, Line, Unembedded, Vector, VectorKind
from memory_svc.storage.local.rows import first_row
from memory_svc.storage.local.shelves import Shelves
from memory_svc.storage.local.vectors import pack
from svckit.sqlite import Database

MOST_ATTEMPTS = 3

# A message's neighbours; of several that follow it the newest is on the path that goes on.
_NEIGHBOURS = """
select owner, before,
  coalesce((select max(f.message) from passage_trait as f where f.before = t.message), 0) as after
from passage_trait as t where t.message = :message
"""

_WAITING = """
select u.message, u.kind, t.before,
  coalesce((select max(f.message) from passage_trait as f where f.before = t.message), 0) as after
from unembedded as u join passage_trait as t on t.message = u.message
where u.attempts < ? order by u.attempts, u.message, u.kind limit ?
"""

_LINES = """
select m.id, m.text, iif(t.speaker = '', m.role, t.speaker) as speaker
from json_each(?) as wanted
join message as m on m.id = wanted.value join passage_trait as t on t.message = m.id
"""

_WANTED = """
insert or ignore into unembedded (message, kind)
select t.message, :kind from passage_trait as t
left join vector as v on v.message = t.message and v.kind = :kind and v.model = :model
where v.message is null
"""


class VectorQueue:
    """What waits for vectors in a database; made ones go to the shelves as well."""

    def __init__(self, database: Database, shelves: Shelves) -> None:
        self._database = database
        self._shelves = shelves

    async def await_vectors(self, model: str) -> None:
        """Queue every vector of `model` that searchable messages do not have."""
        async with self._database.transaction() as tx:
            await tx.execute(
                "update unembedded set attempts = 0, error = '' where attempts > 0 and model <> ?",
                (model,),
            )
            for kind in VectorKind:
                await tx.execute(_WANTED, {"kind": kind, "model": model})

    async def unembedded(self, limit: int) -> list[Unembedded]:
        """Return what waits; what failed comes last."""
        rows = await self._database.fetch(_WAITING, (MOST_ATTEMPTS, limit))
        ids = {row[column] for row in rows for column in ("message", "before", "after")}
        found = await self._database.fetch(_LINES, (json.dumps(sorted(ids)),))
        lines = {row["id"]: Line(row["speaker"], row["text"]) for row in found}
        # A message that was deleted between the two reads has no line.
        return [_unembedded(row, lines) for row in rows if row["message"] in lines]

    async def put(self, model: str, made: Sequence[tuple[Unembedded, Vector]]) -> None:
        """Store vectors and take them off the queue, in one transaction."""
        stored: dict[tuple[int, VectorKind, int], list[tuple[int, Vector]]] = defaultdict(list)
        async with self._database.transaction() as tx:
            for each, vector in made:
                owner = await _store(tx, model, each, vector)
                if owner is not None:
                    stored[owner, each.kind, vector.size].append((each.message_id, vector))
        for (owner, kind, _), vectors in stored.items():
            ids, rows = zip(*vectors, strict=True)
            await self._shelves.put(owner, model, kind, ids, np.stack(rows))

    async def failed(self, model: str, waiting: Unembedded, error: str) -> None:
        """Count a failed attempt and keep its error."""
        async with self._database.transaction() as tx:
            await tx.execute(
                "update unembedded set attempts = attempts + 1, model = ?, error = ?"
                " where message = ? and kind = ?",
                (model, error, waiting.message_id, waiting.kind),
            )

    async def counts(self, model: str) -> IndexCounts:
        """Count messages with a vector of `model`, and those that wait for any."""
        rows = await self._database.fetch(
            "select (select count(*) from vector where model = ? and kind = ?) as indexed,"
            " (select count(distinct message) from unembedded where attempts < ?) as pending",
            (model, VectorKind.ALONE, MOST_ATTEMPTS),
        )
        return IndexCounts(rows[0]["indexed"], rows[0]["pending"])


async def _store(
    tx: aiosqlite.Connection, model: str, made: Unembedded, vector: Vector
) -> int | None:
    """Store a vector; return whose it is, None if it is of what is no more."""
    now = await first_row(tx, _NEIGHBOURS, {"message": made.message_id})
    if now is None:
        return None
    neighbours = (now["before"], now["after"])
    if made.kind is VectorKind.WINDOW and neighbours != (made.before_id, made.after_id):
        return None  # it stays in the queue
    await tx.execute(
        "insert or replace into vector (message, kind, model, vector) values (?, ?, ?, ?)",
        (made.message_id, made.kind, model, pack(vector)),
    )
    await tx.execute(
        "delete from unembedded where message = ? and kind = ?", (made.message_id, made.kind)
    )
    return int(now["owner"])


def _unembedded(row: sqlite3.Row, lines: Mapping[int, Line]) -> Unembedded:
    kind = VectorKind(row["kind"])
    if kind is VectorKind.ALONE:
        return Unembedded(row["message"], kind, lines[row["message"]])
    return Unembedded(
        message_id=row["message"],
        kind=kind,
        line=lines[row["message"]],
        before_id=row["before"],
        after_id=row["after"],
        before=lines.get(row["before"]),
        after=lines.get(row["after"]),
    )
