"""Bring up a user's passages: their words from FTS5, their vectors, and what may be shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import numpy as np

from memory_svc.model import Probe, Said, SearchFilter
from memory_svc.retrieval.evidence import Evidence, Ints
from memory_svc.storage.local.gathering import Posting, gather
from memory_svc.storage.local.indexing import first_number
from memory_svc.storage.local.scope import parameters_of, read_scope
from memory_svc.storage.local.shelf import Shelf
from memory_svc.storage.local.shelves import Shelves
from svckit.sqlite import Database

# Nothing is shown that this does not let through, whichever way it came up.
_ALLOWED = """
  p.owner = :owner
  and (:project = '' or p.project = :project)
  and (:session_id = '' or p.session_id = :session_id)
  and (:conversation_id = '' or p.conversation_id = :conversation_id)
  and (:exclude = '' or p.conversation_id <> :exclude)
  and (:roles = '[]' or p.role in (select value from json_each(:roles)))
  and (:start_us is null or p.created_us >= :start_us)
  and (:end_us is null or p.created_us < :end_us)
  and (:tags = '[]' or exists (
    select 1 from json_each(p.tags) as has join json_each(:tags) as wanted
    where has.value = wanted.value))
"""

_THESE = f"""
select p.* from json_each(:ids) as wanted join passage as p on p.id = wanted.value
where {_ALLOWED}
"""  # noqa: S608  # constant text

_MOST_OWNERS = 10_000

# A word that more messages have says little of any of them: the newest must do.
_MOST_WITH_WORD = 8000

# For each term the messages that have it, as one text: rows by the thousand cost more.
_POSTINGS = """
select term.key as term, (
  select group_concat(number - :first) from (
    select rowid as number from message_fts
    where message_fts match term.value and rowid between :first and :last
    order by rowid desc limit :most
  )
) as ids
from json_each(:terms) as term order by term.key
"""


_NEXT = """
select t.before, max(t.message) as next
from passage_trait as t join owner as o on o.key = t.owner
where o.user_id = ? and t.before in (select value from json_each(?)) group by t.before
"""


class Passages:
    """The searchable messages of a database."""

    def __init__(self, database: Database, shelves: Shelves) -> None:
        self._database = database
        self._shelves = shelves
        self._owners: dict[str, int] = {}
        self._renamed = 0  # how often an owner has lost its name

    async def speakers(self, user_id: str) -> tuple[str, ...]:
        """Return the names that speak in the user's memory."""
        owner = await self._owner(user_id)
        if owner is None:
            return ()
        shelf = await self._shelves.shelf(owner)
        return tuple(name for name in shelf.speakers if name)

    async def evidence(
        self, user_id: str, probe: Probe, where: SearchFilter, limit: int
    ) -> Evidence:
        """Return what speaks for the user's best candidates."""
        owner = await self._owner(user_id)
        if owner is None:
            return gather(Shelf(), Probe(), (), None, limit)
        shelf = await self._shelf(owner, probe)
        postings, scope = await asyncio.gather(
            self._postings(owner, (*probe.words, *probe.phrases)),
            read_scope(self._database, owner, where),
        )
        return await self._shelves.run(gather, shelf, probe, postings, scope, limit)

    async def said(
        self, user_id: str, message_ids: Sequence[int], where: SearchFilter
    ) -> list[Said]:
        """Return those of the messages that the user may find, in any order."""
        owner = await self._owner(user_id)
        if owner is None:
            return []
        parameters = {**parameters_of(owner, where), "ids": json.dumps(message_ids)}
        return [
            Said(
                message_id=row["id"],
                conversation_id=row["conversation_id"],
                conversation_title=row["title"],
                role=row["role"],
                text=row["text"],
                created_us=row["created_us"],
                pinned=bool(row["pinned"]),
                corrected=bool(row["corrected"]),
            )
            for row in await self._database.fetch(_THESE, parameters)
        ]

    async def following(self, user_id: str, message_ids: Sequence[int]) -> dict[int, int]:
        """Return which searchable message follows each on the path that goes on, if any does."""
        rows = await self._database.fetch(_NEXT, (user_id, json.dumps(message_ids)))
        return {row["before"]: row["next"] for row in rows}

    def forget_owner(self, user_id: str) -> None:
        """Look a user's number up again: the user was forgotten, and has another from now on."""
        self._owners.pop(user_id, None)
        self._renamed += 1

    async def _owner(self, user_id: str) -> int | None:
        if user_id in self._owners:
            return self._owners[user_id]
        renamed = self._renamed
        rows = await self._database.fetch("select key from owner where user_id = ?", (user_id,))
        if not rows:
            return None
        owner = int(rows[0]["key"])
        if renamed == self._renamed:  # else this may be what was before
            if len(self._owners) >= _MOST_OWNERS:
                self._owners.clear()
            self._owners[user_id] = owner
        return owner

    async def _shelf(self, owner: int, probe: Probe) -> Shelf:
        if probe.vector is None:
            return await self._shelves.shelf(owner)
        return await self._shelves.shelf_with_vectors(owner, probe.model, probe.vector.size)

    async def _postings(self, owner: int, terms: Sequence[str]) -> list[Posting]:
        """Return the owner's messages that have each term."""
        quoted = list(map(_quoted, terms))
        first = first_number(owner)
        rows = await self._database.fetch(
            _POSTINGS,
            {
                "first": first,
                "last": first_number(owner + 1) - 1,
                "most": _MOST_WITH_WORD,
                "terms": json.dumps(
                    [f"{part} : {term}" for part in ("text", "rest") for term in quoted]
                ),
            },
        )
        ids = [_numbers(row["ids"]) for row in rows]
        heads, rests = ids[: len(quoted)], ids[len(quoted) :]
        return [Posting(head, rest) for head, rest in zip(heads, rests, strict=True)]


def _numbers(ids: str | None) -> Ints:
    return np.fromstring(ids or "", dtype=np.int64, sep=",")


def _quoted(term: str) -> str:
    """Make `term` a plain term of FTS5, whatever is in it."""
    return '"' + term.replace('"', '""').replace("\x00", " ") + '"'  # NUL ends an expression
