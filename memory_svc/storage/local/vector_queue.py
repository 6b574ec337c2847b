"""The durable queue of vectors to make, and the vectors that were made."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import itemgetter

import aiosqlite
import numpy as np

from memory_svc.model import FIRST_PART, IndexCounts, Line, Unembedded, Vector, VectorKind
from memory_svc.storage.local.nearest import Packed
from memory_svc.storage.local.rows import first_row
from memory_svc.storage.local.shelves import Shelves
from memory_svc.storage.local.vectors import pack
from svckit.sqlite import Database

MOST_ATTEMPTS = 3

# What is known now of messages whose vectors were made: whose they are, their neighbours (of
# several that follow one the newest is on the path that goes on), and which text was queued.
_MADE = """
select t.message, json_extract(made.value, '$[1]') as kind, t.owner, t.before, u.version,
  coalesce((select max(f.message) from passage_trait as f where f.before = t.message), 0) as after
from json_each(?) as made
join passage_trait as t on t.message = json_extract(made.value, '$[0]')
left join unembedded as u
  on u.message = t.message and u.kind = json_extract(made.value, '$[1]')
"""

# The window of a message that nothing follows is made anew when something does. While there
# is other work it waits for that: many messages come in so fast, and half as many windows do.
_OPEN = """
u.kind = 1 and not exists (select 1 from passage_trait as f where f.before = u.message)
"""

_WAITING = """
select u.message, u.kind, u.version, u.attempts, t.before,
  coalesce((select max(f.message) from passage_trait as f where f.before = t.message), 0) as after
from unembedded as u join passage_trait as t on t.message = u.message
where u.attempts < ? and ({wanted}) order by u.attempts, u.message, u.kind limit ?
"""
_FIRST, _LAST = _WAITING.format(wanted=f"not ({_OPEN})"), _WAITING.format(wanted=_OPEN)

_LINES = """
select p.id, p.text, iif(t.speaker = '', p.role, t.speaker) as speaker
from json_each(?) as wanted
join passage as p on p.id = wanted.value join passage_trait as t on t.message = p.id
"""

_WANTED = """
insert or ignore into unembedded (message, kind)
select t.message, :kind from passage_trait as t
left join vector as v on v.message = t.message and v.kind = :kind
  and v.model = (select key from embedding_model where name = :model)
where v.message is null
"""


_WANTED_PARTS = """
insert or ignore into unembedded (message, kind)
select message, kind from vector where kind >= :least
  and model is not (select key from embedding_model where name = :model)
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
            await tx.execute(_WANTED_PARTS, {"least": FIRST_PART, "model": model})

    async def unembedded(self, limit: int) -> list[Unembedded]:
        """Return what waits; what failed comes last."""
        rows = await self._database.fetch(_FIRST, (MOST_ATTEMPTS, limit))
        if len(rows) < limit:
            rows += await self._database.fetch(_LAST, (MOST_ATTEMPTS, limit - len(rows)))
            rows.sort(key=itemgetter("attempts"))
        ids = {row[column] for row in rows for column in ("message", "before", "after")}
        found = await self._database.fetch(_LINES, (json.dumps(sorted(ids)),))
        lines = {row["id"]: Line(row["speaker"], row["text"]) for row in found}
        # A message that was deleted between the two reads has no line.
        return [_unembedded(row, lines) for row in rows if row["message"] in lines]

    async def put(self, model: str, made: Sequence[tuple[Unembedded, Vector]]) -> None:
        """Store vectors and take them off the queue, in one transaction."""
        if not made:
            return
        packed = pack(np.stack([vector for _, vector in made]))
        stored: dict[tuple[int, int], list[tuple[int, Packed]]] = defaultdict(list)
        async with self._database.transaction() as tx:
            owners = await _owners(tx, [each for each, _ in made])
            for (each, _), vector in zip(made, packed, strict=True):
                if (key := (each.message_id, each.kind)) in owners:
                    stored[owners[key], each.kind].append((each.message_id, vector))
            number = await _store(tx, model, stored)
        for (owner, kind), vectors in stored.items():
            ids, rows = zip(*vectors, strict=True)
            await self._shelves.put(owner, number, kind, ids, np.stack(rows))

    async def failed(self, model: str, waiting: Unembedded, error: str) -> None:
        """Count a failed attempt and keep its error."""
        async with self._database.transaction() as tx:
            await tx.execute(
                "update unembedded set attempts = attempts + 1, model = ?, error = ?"
                " where message = ? and kind = ?",
                (model, error, waiting.message_id, waiting.kind),
            )

    async def counts(self, model: str) -> IndexCounts:
        """Count messages with a vector of `model`, and those that wait for any or are given up."""
        rows = await self._database.fetch(
            "select (select count(*) from vector where kind = 0 and"  # as the index has it
            " model = (select key from embedding_model where name = ?)) as indexed,"
            " (select count(distinct message) from unembedded where attempts < ?) as pending,"
            " (select count(distinct message) from unembedded where attempts >= ?) as failed,"
            " (select error from unembedded where attempts >= ? order by message desc limit 1)"
            " as failure",
            (model, *[MOST_ATTEMPTS] * 3),
        )
        row = rows[0]
        return IndexCounts(row["indexed"], row["pending"], row["failed"], row["failure"] or "")


async def _owners(
    tx: aiosqlite.Connection, made: Sequence[Unembedded]
) -> dict[tuple[int, int], int]:
    """Return whose the messages are whose vectors are still wanted; the others wait on."""
    wanted = json.dumps([(each.message_id, each.kind) for each in made])
    now = {
        (row["message"], row["kind"]): row for row in await tx.execute_fetchall(_MADE, (wanted,))
    }
    owners = {}
    for each in made:
        key = (each.message_id, each.kind)
        # It may be deleted, corrected or among other neighbours since.
        if (row := now.get(key)) is None or row["version"] not in {None, each.version}:
            continue
        if each.kind >= FIRST_PART and row["version"] is None:
            continue  # it has no such part any more
        neighbours = (row["before"], row["after"])
        if each.kind != VectorKind.WINDOW or neighbours == (each.before_id, each.after_id):
            owners[key] = int(row["owner"])
    return owners


async def _store(
    tx: aiosqlite.Connection,
    model: str,
    stored: Mapping[tuple[int, int], Sequence[tuple[int, Packed]]],
) -> int:
    """Store vectors and take them off the queue; return the model's number."""
    await tx.execute("insert or ignore into embedding_model (name) values (?)", (model,))
    named = await first_row(tx, "select key from embedding_model where name = ?", (model,))
    assert named is not None
    # In the order of the table, whose pages are full then.
    rows = sorted(
        (message, kind, named["key"], packed.tobytes())
        for (_, kind), vectors in stored.items()
        for message, packed in vectors
    )
    await tx.executemany(
        "insert or replace into vector (message, kind, model, vector) values (?, ?, ?, ?)", rows
    )
    await tx.executemany(
        "delete from unembedded where message = ? and kind = ?", [row[:2] for row in rows]
    )
    return int(named["key"])


def _unembedded(row: sqlite3.Row, lines: Mapping[int, Line]) -> Unembedded:
    kind = row["kind"]
    if kind != VectorKind.WINDOW:
        line = lines[row["message"]]
        return Unembedded(row["message"], kind, line, version=row["version"])
    return Unembedded(
        message_id=row["message"],
        kind=VectorKind.WINDOW,
        line=lines[row["message"]],
        before_id=row["before"],
        after_id=row["after"],
        before=lines.get(row["before"]),
        after=lines.get(row["after"]),
        version=row["version"],
    )
