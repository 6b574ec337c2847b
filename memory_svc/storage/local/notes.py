"""Notes, pinned messages and corrections in the database.

A note is a message like any other, so that whatever finds, shows or deletes messages does
so with notes; what makes it one stands beside it.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import aiosqlite

from memory_svc.kept import NewNote, Note, NoteFilter
from memory_svc.model import Message, Passage
from memory_svc.storage.local.indexing import forget_words, index_again
from memory_svc.storage.local.rows import first_row
from memory_svc.storage.local.shelves import Shelves
from memory_svc.storage.local.turns import add_message, owner_key
from svckit.sqlite import Database

_TITLE = "Notes"

_COLUMNS = """
select m.id, m.role, coalesce(k.text, plain(m.text), '') as text, m.created_us,
  c.owner, c.id as conversation_id, coalesce(n.project, c.project) as project,
  coalesce(n.pinned, 0) as pinned, c.title, k.text is not null as corrected
"""

_ONE = f"""
{_COLUMNS} from message as m join conversation as c on c.key = m.conversation
join owner as o on o.key = c.owner
left join note as n on n.message = m.id left join correction as k on k.message = m.id
where o.user_id = :user_id and m.id = :id
"""

# Crossed, for few of a user's messages are notes: SQLite would rather walk all of them.
_NOTES = f"""
{_COLUMNS} from owner as o cross join note as n on n.owner = o.key
cross join message as m on m.id = n.message cross join conversation as c on c.key = m.conversation
left join correction as k on k.message = m.id
where o.user_id = :user_id
"""

_LISTED = f"""
{_NOTES}
and (:project = '' or n.project in ('', :project))
and (not :pinned_only or n.pinned)
and (:id is null or (m.created_us, m.id) < (:created_us, :id))
order by m.created_us desc, m.id desc limit :limit
"""

_PINNED = f"""
{_NOTES} and n.pinned and n.project in ('', :project)
order by m.created_us desc, m.id desc limit :limit
"""

_SAME = """
select n.message from note as n join message as m on m.id = n.message
left join correction as k on k.message = m.id
where n.owner = :owner and n.written and n.project = :project
  and coalesce(k.text, plain(m.text)) = :text
"""


class StoredNotes:
    """The notes of a database."""

    def __init__(self, database: Database, shelves: Shelves) -> None:
        self._database = database
        self._shelves = shelves

    async def remember(self, user_id: str, conversation_id: str, new: NewNote, at_us: int) -> Note:
        """Keep a note in its conversation, once; return it as it is stored."""
        async with self._database.transaction() as tx:
            owner = await owner_key(tx, user_id)
            message = await _same(tx, owner, new)
            if message is None:
                conversation = await _conversation(tx, owner, conversation_id, new.project, at_us)
                said = Message(role="user", text=new.text)
                message = await add_message(tx, owner, conversation, said, at_us)
            await tx.execute(
                "insert into note (message, owner, project, pinned, written)"
                " values (?, ?, ?, ?, 1) on conflict (message) do update set"
                " pinned = max(pinned, excluded.pinned), written = 1",
                (message, owner, new.project, new.pinned),
            )
            row = await _row(tx, user_id, message)
        assert row is not None
        return _note(row)

    async def notes(
        self, user_id: str, where: NoteFilter, after: tuple[int, int] | None, limit: int
    ) -> list[Note]:
        """List the latest first, from behind `after` = (created_us, message_id)."""
        created_us, message = after or (None, None)
        rows = await self._database.fetch(
            _LISTED,
            {
                "user_id": user_id,
                "project": where.project,
                "pinned_only": where.pinned_only,
                "created_us": created_us,
                "id": message,
                "limit": limit,
            },
        )
        return [_note(row) for row in rows]

    async def pinned(self, user_id: str, project: str, limit: int) -> list[Passage]:
        """Return what is in every recall of the project, the latest first."""
        wanted = {"user_id": user_id, "project": project, "limit": limit}
        return [_passage(row) for row in await self._database.fetch(_PINNED, wanted)]

    async def pin(self, user_id: str, message_id: int, project: str | None) -> Note | None:
        """Pin a message for a project, '' for all, or unpin it (None); None if there is none."""
        async with self._database.transaction() as tx:
            if await _row(tx, user_id, message_id) is None:
                return None
            if project is None:
                await tx.execute("update note set pinned = 0 where message = ?", (message_id,))
                await tx.execute(
                    "delete from note where message = ? and not written",
                    (message_id,),
                )
            else:
                await tx.execute(
                    "insert into note (message, owner, project, pinned, written)"
                    " values (?, (select key from owner where user_id = ?), ?, 1, 0)"
                    " on conflict (message) do update set project = excluded.project, pinned = 1",
                    (message_id, user_id, project),
                )
            row = await _row(tx, user_id, message_id)
        assert row is not None
        return _note(row)

    async def correct(self, user_id: str, message_id: int, text: str) -> Note | None:
        """Let a text stand for what a message says, '' for what was said; None if none."""
        row = None
        try:
            async with self._database.transaction() as tx:
                row = await _row(tx, user_id, message_id)
                if row is None:
                    return None
                await forget_words(tx, [message_id])
                await tx.execute("delete from correction where message = ?", (message_id,))
                await tx.execute(
                    "insert into correction select id, :text from message"
                    " where id = :id and :text not in ('', plain(text))",
                    {"id": message_id, "text": text},
                )
                await index_again(tx, message_id)
                row = await _row(tx, user_id, message_id)
        finally:
            # Also where the caller gives up while it is committed.
            if row is not None:
                await self._shelves.drop(row["owner"])
        assert row is not None
        return _note(row)


async def _row(tx: aiosqlite.Connection, user_id: str, message_id: int) -> sqlite3.Row | None:
    return await first_row(tx, _ONE, {"user_id": user_id, "id": message_id})


async def _same(tx: aiosqlite.Connection, owner: int, new: NewNote) -> int | None:
    same = {"owner": owner, "project": new.project, "text": new.text}
    row = await first_row(tx, _SAME, same)
    return row["message"] if row else None


async def _conversation(
    tx: aiosqlite.Connection, owner: int, conversation_id: str, project: str, at_us: int
) -> int:
    """Return the key of a conversation of notes, beginning it if it does not exist."""
    named: dict[str, Any] = {"owner": owner, "id": conversation_id}
    await tx.execute(
        "insert or ignore into conversation (owner, id, project, session_id, title, tags,"
        " metadata, created_us, updated_us)"
        " values (:owner, :id, :project, '', :title, '[]', '{}', :at_us, :at_us)",
        {**named, "project": project, "title": _TITLE, "at_us": at_us},
    )
    # A client may have begun it: its notes must not go with its turns.
    await tx.execute(
        "update conversation set begun_by_turn = 0 where owner = :owner and id = :id", named
    )
    row = await first_row(
        tx, "select key from conversation where owner = :owner and id = :id", named
    )
    assert row is not None
    return int(row["key"])


def _note(row: sqlite3.Row) -> Note:
    return Note(
        message_id=row["id"],
        conversation_id=row["conversation_id"],
        text=row["text"],
        project=row["project"],
        pinned=bool(row["pinned"]),
        created_us=row["created_us"],
        role=row["role"],
    )


def _passage(row: sqlite3.Row) -> Passage:
    return Passage(
        message_id=row["id"],
        conversation_id=row["conversation_id"],
        conversation_title=row["title"],
        role=row["role"],
        text=row["text"],
        created_us=row["created_us"],
        score=0.0,
        lexical_score=None,
        dense_score=None,
        pinned=True,
        corrected=bool(row["corrected"]),
    )
