"""The local MemoryStore: SQLite holds the truth, this module the conversations' rows.

Each change is one transaction, so the end of the process leaves all of it or nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from importlib.resources import files
from pathlib import Path
from typing import Any

from memory_svc.model import (
    Conversation,
    ConversationChange,
    ConversationFilter,
    Fate,
    IndexCounts,
    Message,
    NewConversation,
    Probe,
    Recall,
    Said,
    SearchFilter,
    Stats,
    StoredMessage,
    StoredTurn,
    TreePath,
    Turn,
    TurnFilter,
    Unembedded,
    Vector,
)
from memory_svc.records import metadata_of
from memory_svc.retrieval.evidence import Evidence
from memory_svc.storage.local.deletion import (
    Deleted,
    delete_conversation,
    delete_message,
    delete_turn,
)
from memory_svc.storage.local.indexing import describe_old_messages
from memory_svc.storage.local.passages import Passages
from memory_svc.storage.local.recalls import find_recall, forget_recalls, keep_recalls
from memory_svc.storage.local.rows import to_conversation, to_path_node, to_stored_message
from memory_svc.storage.local.shelves import Shelves
from memory_svc.storage.local.stored_turns import StoredTurns
from memory_svc.storage.local.tombstones import bury, bury_turn
from memory_svc.storage.local.turns import append_turn, owner_key
from memory_svc.storage.local.vector_queue import VectorQueue
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
  and (:start_us is null or c.updated_us >= :start_us)
  and (:end_us is null or c.updated_us < :end_us)
  and (:tags = '[]' or exists (
    select 1 from json_each(c.tags) as has join json_each(:tags) as wanted
    where has.value = wanted.value))
  and (:title_query = '' or instr(casefold(c.title), :title_query))
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


_STATS = """
with whose as (
  select c.* from conversation as c join owner as o on o.key = c.owner
  where :user_id is null or o.user_id = :user_id
),
said as (
  select m.role, length(cast(m.text as blob)) as bytes
  from whose join message as m on m.conversation = whose.key
)
select count(*) as conversations, count(distinct owner) as users,
  coalesce(sum(token_count), 0) as tokens,
  min(created_us) as first_us, max(updated_us) as last_us,
  (select count(*) from said) as messages,
  (select count(*) from said where role = 'user') as user_messages,
  (select count(*) from said where role = 'assistant') as assistant_messages,
  (select coalesce(sum(bytes), 0) from said) as text_bytes
from whose
"""


@asynccontextmanager
async def open_local_store(path: Path) -> AsyncIterator[LocalStore]:
    """Open the database at `path`, making it if it does not exist; close it at the end."""
    migrations = files("memory_svc.storage.local") / "sql"
    async with open_database(path, migrations) as database:
        await describe_old_messages(database)
        with closing(Shelves(database)) as shelves:
            yield LocalStore(database, shelves)


class LocalStore:
    """A `MemoryStore` in one SQLite file; made by `open_local_store`."""

    def __init__(self, database: Database, shelves: Shelves) -> None:
        self._database = database
        self._shelves = shelves
        self._passages = Passages(database, shelves)
        self._vectors = VectorQueue(database, shelves)
        self._turns = StoredTurns(database)

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
        rows = await self._fetch_listed(
            _CONVERSATION + _LISTED + " and (:key is null or"
            " (c.updated_us, c.key) < (:updated_us, :key))"
            " order by c.updated_us desc, c.key desc limit :limit",
            {**_listed(where), "updated_us": updated_us, "key": key, "limit": limit},
        )
        return [to_conversation(row) for row in rows]

    async def count_conversations(self, where: ConversationFilter) -> int:
        """Count what `conversations` lists on all pages."""
        rows = await self._fetch_listed(_COUNT, _listed(where))
        return int(rows[0][0])

    async def active_path(self, user_id: str, conversation_id: str) -> TreePath | None:
        """Return what the next message continues; None if there is no such conversation."""
        conversation = await self.conversation(user_id, conversation_id)
        if conversation is None:
            return None
        system = await self._database.fetch(
            "select i.body from conversation as c join instruction as i"
            " on i.conversation = c.key and i.hash = c.instructions"
            " where c.key = ? order by i.position",
            (conversation.key,),
        )
        nodes = await self._database.fetch(
            _PATH_NODES,
            {"conversation": conversation.key},
        )
        return TreePath(
            tuple(Message.FromString(row["body"]) for row in system),
            tuple(map(to_path_node, nodes)),
        )

    async def path_after(
        self, user_id: str, conversation_id: str, request_id: str
    ) -> TreePath | None:
        """Return the path that ends in a turn's answer; None if there is no such turn."""
        return await self._turns.path_after(user_id, conversation_id, request_id)

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
                " metadata = coalesce(?, metadata), updated_us = max(updated_us, ?),"
                " begun_by_turn = 0"
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
            await forget_recalls(tx, user_id, conversation_id=conversation_id)
            deleted = await delete_conversation(tx, user_id, conversation_id)
        return await self._forget(deleted)

    async def delete_message(self, conversation: int, message_id: int, at_us: int) -> bool:
        """Delete a message; tell whether it was there."""
        async with self._database.transaction() as tx:
            deleted = await delete_message(tx, conversation, message_id, at_us)
        return await self._forget(deleted) is not None

    async def turn(self, user_id: str | None, request_id: str) -> StoredTurn | None:
        """Return one turn with its content, anybody's if `user_id` is None; None if none."""
        return await self._turns.turn(user_id, request_id)

    async def turns(
        self, where: TurnFilter, after: tuple[int, int] | None, limit: int
    ) -> tuple[list[StoredTurn], bool]:
        """List turns from behind `after`, and tell whether there are more."""
        return await self._turns.turns(where, after, limit)

    async def update_turn(self, user_id: str, request_id: str, record: bytes) -> bool:
        """Put another record in a turn; tell whether there is one."""
        async with self._database.transaction() as tx:
            updated = await tx.execute(
                "update turn set record = ?, metadata = ? where request_id = ?"
                " and owner = (select key from owner where user_id = ?)",
                (record, json.dumps(metadata_of(record)), request_id, user_id),
            )
        return bool(updated.rowcount)

    async def delete_turn(self, user_id: str, request_id: str, at_us: int) -> int | None:
        """Delete a turn and what only it has; return how many messages are gone."""
        async with self._database.transaction() as tx:
            # Also where nothing is stored: it may still be on its way.
            await bury_turn(tx, user_id, request_id, at_us)
            await forget_recalls(tx, user_id, request_id=request_id)
            deleted = await delete_turn(tx, user_id, request_id, at_us)
        return await self._forget(deleted)

    async def stats(self, user_id: str | None) -> Stats:
        """Count what is kept of a user; of all if None."""
        rows = await self._database.fetch(_STATS, {"user_id": user_id})
        return Stats(**{name: rows[0][name] for name in rows[0].keys()})  # noqa: SIM118  # a row, not a dict

    async def speakers(self, user_id: str) -> tuple[str, ...]:
        """Return the names that speak in the user's memory, beside those who have none."""
        return await self._passages.speakers(user_id)

    async def evidence(
        self, user_id: str, probe: Probe, where: SearchFilter, limit: int
    ) -> Evidence:
        """Return what speaks for the candidates among which the best `limit` passages are."""
        return await self._passages.evidence(user_id, probe, where, limit)

    async def said(
        self, user_id: str, message_ids: Sequence[int], where: SearchFilter
    ) -> list[Said]:
        """Return those of the messages that the user may find, in any order."""
        return await self._passages.said(user_id, message_ids, where)

    async def keep_recalls(self, recalls: Sequence[Recall]) -> None:
        """Keep what was recalled for requests, and drop what has been kept long enough."""
        async with self._database.transaction() as tx:
            await keep_recalls(tx, recalls)

    async def recall(self, user_id: str, request_id: str) -> Recall | None:
        """Return what was recalled for a request, as far as it still exists; None if unknown."""
        return await find_recall(self._database, user_id, request_id)

    async def await_vectors(self, model: str) -> None:
        """Queue every vector of `model` that searchable messages do not have."""
        await self._vectors.await_vectors(model)

    async def unembedded(self, limit: int) -> list[Unembedded]:
        """Return what waits for a vector and is not given up, oldest messages first."""
        return await self._vectors.unembedded(limit)

    async def put_vectors(self, model: str, made: Sequence[tuple[Unembedded, Vector]]) -> None:
        """Store normalised vectors of what waited for them."""
        await self._vectors.put(model, made)

    async def embedding_failed(self, model: str, waiting: Unembedded, error: str) -> None:
        """Count a failed attempt; the third one gives the vector up for `model`."""
        await self._vectors.failed(model, waiting, error)

    async def index_counts(self, model: str) -> IndexCounts:
        """Count the messages with a vector of `model`, and those that wait for any."""
        return await self._vectors.counts(model)

    async def _fetch_listed(self, sql: str, parameters: dict[str, Any]) -> list[sqlite3.Row]:
        """Return all rows of a query that compares titles."""
        async with self._database.reader() as connection:
            # SQLite itself knows the case of ASCII letters only.
            await connection.create_function("casefold", 1, str.casefold, deterministic=True)
            return list(await connection.execute_fetchall(sql, parameters))

    async def _forget(self, deleted: Deleted | None) -> int | None:
        """Drop what is kept of deleted messages outside their rows; return how many they are."""
        if deleted is None:
            return None
        await self._shelves.drop(deleted.owner)
        await self._database.empty_log()
        return len(deleted.messages)


def _listed(where: ConversationFilter) -> dict[str, Any]:
    return {
        "user_id": where.user_id,
        "project": where.project,
        "session_id": where.session_id,
        "start_us": where.start_us,
        "end_us": where.end_us,
        "tags": json.dumps(where.tags),
        "title_query": where.title_query.casefold(),
    }
