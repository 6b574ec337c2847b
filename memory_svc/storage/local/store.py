"""The local MemoryStore: SQLite holds the truth, this module the conversations' rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from memory_svc.model import (
    ActivePath,
    Candidate,
    Conversation,
    ConversationChange,
    ConversationFilter,
    Fate,
    IndexCounts,
    Message,
    NewConversation,
    PathNode,
    Probe,
    SearchFilter,
    StoredMessage,
    Turn,
    Unembedded,
    Vector,
)
from memory_svc.storage.local.passages import Passages
from memory_svc.storage.local.rows import join_message, to_conversation, to_stored_message
from memory_svc.storage.local.tombstones import bury
from memory_svc.storage.local.turns import append_turn, owner_key
from svckit.sqlite import Database, open_database

# The active path has as many messages as its leaf's place says.
_CONVERSATION = """
select c.*, o.user_id, coalesce(leaf.position + 1, 0) as message_count
from conversation as c join owner as o on o.key = c.owner
left join message as leaf on leaf.id = c.head
"""

_LISTED = """
where (:user_id is null or o.user_id = :user_id)
  and (:project = '' or c.project = :project)
  and (:session_id = '' or c.session_id = :session_id)
"""

_COUNT = f"""
select count(*) from conversation as c join owner as o on o.key = c.owner {_LISTED}
"""  # noqa: S608  # constant text

_PATH = """
with recursive path (id, parent) as (
  select m.id, m.parent from conversation as c join message as m on m.id = c.head
  where c.key = :conversation
  union all
  select m.id, m.parent from path join message as m on m.id = path.parent
)
"""

_PATH_NODES = f"""
{_PATH} select m.hash, m.text, m.body from path join message as m on m.id = path.id
order by m.position
"""  # noqa: S608  # constant text


@asynccontextmanager
async def open_local_store(path: Path) -> AsyncIterator[LocalStore]:
    """Open the database at `path`, making it if it does not exist; close it at the end."""
    migrations = files("memory_svc.storage.local") / "sql"
    async with open_database(path, migrations) as database:
        passages = Passages(database)
        try:
            yield LocalStore(database, passages)
        finally:
            passages.close()


class LocalStore:
    """A `MemoryStore` in one SQLite file; made by `open_local_store`."""

    def __init__(self, database: Database, passages: Passages) -> None:
        self._database = database
        self._passages = passages

    async def create(self, new: NewConversation, at_us: int) -> Conversation | None:
        """Begin a conversation; None if the user has one of that id."""
        async with self._database.transaction() as tx:
            owner = await owner_key(tx, new.user_id)
            cursor = await tx.execute(
                "insert or ignore into conversation (owner, id, project, session_id, title, tags,"
                " metadata, created_us, updated_us) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(owner, new.id, new.project, new.session_id, new.title),
                    *(json.dumps(new.tags), json.dumps(new.metadata), at_us, at_us),
                ),
            )
        if not cursor.rowcount:
            return None
        return await self.conversation(new.user_id, new.id)

    async def append(self, turns: Sequence[Turn]) -> list[Fate]:
        """Store turns in one transaction; return what became of each."""
        async with self._database.transaction() as tx:
            return [await append_turn(tx, turn) for turn in turns]

    async def conversation(self, user_id: str | None, conversation_id: str) -> Conversation | None:
        """Return one conversation; of all users' the latest changed if `user_id` is None."""
        rows = await self._database.fetch(
            _CONVERSATION + "where (:user_id is null or o.user_id = :user_id) and c.id = :id"
            " order by c.updated_us desc, c.key desc limit 1",
            {"user_id": user_id, "id": conversation_id},
        )
        return to_conversation(rows[0]) if rows else None

    async def conversations(
        self, where: ConversationFilter, after: tuple[int, int] | None, limit: int
    ) -> list[Conversation]:
        """List the latest changed first, from behind `after`."""
        updated_us, key = after or (None, None)
        rows = await self._database.fetch(
            _CONVERSATION + _LISTED + " and (:key is null or"
            " (c.updated_us, c.key) < (:updated_us, :key))"
            " order by c.updated_us desc, c.key desc limit :limit",
            {**_listed(where), "updated_us": updated_us, "key": key, "limit": limit},
        )
        return [to_conversation(row) for row in rows]

    async def count_conversations(self, where: ConversationFilter) -> int:
        """Count what `conversations` lists on all pages."""
        rows = await self._database.fetch(
            _COUNT,
            _listed(where),
        )
        return int(rows[0][0])

    async def active_path(self, user_id: str, conversation_id: str) -> ActivePath | None:
        """Return what the next message continues; None if there is no such conversation."""
        conversation = await self.conversation(user_id, conversation_id)
        if conversation is None:
            return None
        system = await self._database.fetch(
            "select body from system_message where conversation = ? order by position",
            (conversation.key,),
        )
        nodes = await self._database.fetch(
            _PATH_NODES,
            {"conversation": conversation.key},
        )
        return ActivePath(
            tuple(Message.FromString(row["body"]) for row in system),
            tuple(PathNode(row["hash"], join_message(row["text"], row["body"])) for row in nodes),
        )

    async def messages(
        self, conversation: int, after: int, limit: int, *, include_inactive: bool
    ) -> list[StoredMessage]:
        """List messages, oldest first, from behind `after`."""
        if include_inactive:
            listed = (
                "select m.*, m.id in (select id from path) as active from message as m"
                " where m.conversation = :conversation and m.id > :after order by m.id limit :limit"
            )
        else:
            listed = (
                "select m.*, 1 as active from path join message as m on m.id = path.id"
                " where m.position > :after order by m.position limit :limit"
            )
        rows = await self._database.fetch(
            _PATH + listed, {"conversation": conversation, "after": after, "limit": limit}
        )
        return [to_stored_message(row) for row in rows]

    async def update(
        self, user_id: str, conversation_id: str, change: ConversationChange, at_us: int
    ) -> Conversation | None:
        """Change a conversation and return it; None if there is none."""
        async with self._database.transaction() as tx:
            await tx.execute(
                "update conversation set title = coalesce(?, title), tags = coalesce(?, tags),"
                " metadata = coalesce(?, metadata), updated_us = max(updated_us, ?)"
                " where id = ? and owner = (select key from owner where user_id = ?)",
                (
                    change.title,
                    None if change.tags is None else json.dumps(change.tags),
                    None if change.metadata is None else json.dumps(change.metadata),
                    *(at_us, conversation_id, user_id),
                ),
            )
        return await self.conversation(user_id, conversation_id)

    async def delete(self, user_id: str, conversation_id: str, at_us: int) -> int | None:
        """Delete a conversation and all derived from it; return how many messages it had."""
        async with self._database.transaction() as tx:
            # Also where nothing is stored: the first turn may still be on its way.
            await bury(tx, user_id, conversation_id, at_us)
            rows = await tx.execute_fetchall(
                "select c.key, c.owner from conversation as c join owner as o on o.key = c.owner"
                " where o.user_id = ? and c.id = ?",
                (user_id, conversation_id),
            )
            if not (found := list(rows)):
                return None
            key, owner = found[0]
            messages = await tx.execute_fetchall(
                "select id from message where conversation = ?", (key,)
            )
            ids = [row["id"] for row in messages]
            # The index must be told the words it is to forget while they are there.
            await tx.execute(
                "insert into message_fts (message_fts, rowid, owner, text)"
                " select 'delete', id, owner, text from indexed_text where conversation = ?",
                (key,),
            )
            await tx.execute("delete from conversation where key = ?", (key,))
            # FTS5 only marks words as deleted; merging its segments drops them.
            await tx.execute("insert into message_fts (message_fts) values ('optimize')")
        await self._passages.forget(owner, ids)
        await self._database.empty_log()
        return len(ids)

    async def candidates(
        self, user_id: str, probe: Probe, where: SearchFilter, limit: int
    ) -> list[Candidate]:
        """Return the user's best `limit` passages by words and as many by meaning."""
        return await self._passages.candidates(user_id, probe, where, limit)

    async def await_vectors(self, model: str) -> None:
        """Queue every searchable message that has no vector of `model`."""
        await self._passages.await_vectors(model)

    async def unembedded(self, limit: int) -> list[Unembedded]:
        """Return messages that wait for a vector and are not given up, oldest first."""
        return await self._passages.unembedded(limit)

    async def put_vectors(self, model: str, vectors: Sequence[tuple[int, Vector]]) -> None:
        """Store normalised vectors by message; those of deleted messages are dropped."""
        await self._passages.put_vectors(model, vectors)

    async def embedding_failed(self, model: str, message_id: int, error: str) -> None:
        """Count a failed attempt; the third one gives the message up for `model`."""
        await self._passages.embedding_failed(model, message_id, error)

    async def index_counts(self, model: str) -> IndexCounts:
        """Count the messages with a vector of `model`, and those that wait."""
        return await self._passages.index_counts(model)


def _listed(where: ConversationFilter) -> dict[str, str | None]:
    return {
        "user_id": where.user_id,
        "project": where.project,
        "session_id": where.session_id,
    }
