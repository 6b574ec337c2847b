"""The local MemoryStore: SQLite holds the truth, this module the conversations' rows.

Each change is one transaction, so the end of the process leaves all of it or nothing.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path

import aiosqlite

from memory_svc.kept import (
    Forgotten,
    NewNote,
    Note,
    NoteFilter,
    Target,
    TheseMessages,
)
from memory_svc.model import (
    Conversation,
    ConversationChange,
    ConversationFilter,
    Fate,
    IndexCounts,
    Message,
    NewConversation,
    Passage,
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
from memory_svc.storage.local.compaction import Compaction
from memory_svc.storage.local.compressing import packed_bytes
from memory_svc.storage.local.conversations import StoredConversations
from memory_svc.storage.local.deletion import (
    Deleted,
    delete_conversation,
    delete_message,
    delete_turn,
)
from memory_svc.storage.local.forgetting import forget, owner_of, weigh
from memory_svc.storage.local.functions import FUNCTIONS
from memory_svc.storage.local.indexing import describe_old_messages
from memory_svc.storage.local.notes import StoredNotes
from memory_svc.storage.local.passages import Passages
from memory_svc.storage.local.recalls import find_recall, forget_recalls, keep_recalls
from memory_svc.storage.local.request_ids import packed_id
from memory_svc.storage.local.resending import resends
from memory_svc.storage.local.rows import to_path_node, to_stored_message
from memory_svc.storage.local.shelves import Shelves, open_shelves
from memory_svc.storage.local.stored_turns import StoredTurns
from memory_svc.storage.local.tombstones import bury, bury_turn
from memory_svc.storage.local.turns import append_turn, owner_key
from memory_svc.storage.local.vector_queue import VectorQueue
from svckit.sqlite import Database, open_database

# A small memory is cleared by whoever deletes from it; of a large one the rest comes later.
_CLEARING_SECONDS = 0.1

_PATH = """
with recursive path (id, parent) as (
  select m.id, m.parent from conversation as c join message as m on m.id = c.head
  where c.key = :conversation
  union all
  select m.id, m.parent from path join message as m on m.id = path.parent
)
"""

_PATH_NODES = f"""
{_PATH} select m.hash, m.text, m.body, m.finish_reason from path join message as m on m.id = path.id
order by m.position
"""  # noqa: S608  # constant text


@asynccontextmanager
async def open_local_store(path: Path) -> AsyncIterator[LocalStore]:
    """Open the database at `path`, making it if it does not exist; close it at the end."""
    migrations = files("memory_svc.storage.local") / "sql"
    async with open_database(path, migrations, functions=FUNCTIONS) as database:
        await describe_old_messages(database)
        async with open_shelves(database) as shelves:
            shelves.warm()
            yield LocalStore(database, shelves)


class _PreviewEndsError(Exception):
    """Rolls back what was only tried."""


class LocalStore:
    """A `MemoryStore` in one SQLite file; made by `open_local_store`."""

    def __init__(self, database: Database, shelves: Shelves) -> None:
        self._database = database
        self._shelves = shelves
        self._passages = Passages(database, shelves)
        self._vectors = VectorQueue(database, shelves)
        self._turns = StoredTurns(database)
        self._conversations = StoredConversations(database)
        self._notes = StoredNotes(database, shelves)
        self._compaction = Compaction(database)

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
        return await self._conversations.conversation(user_id, conversation_id)

    async def conversations(
        self, where: ConversationFilter, after: tuple[int, int] | None, limit: int
    ) -> list[Conversation]:
        """List the latest changed first, from behind `after`."""
        return await self._conversations.conversations(where, after, limit)

    async def count_conversations(self, where: ConversationFilter) -> int:
        """Count what `conversations` lists on all pages."""
        return await self._conversations.count(where)

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
            await resends(self._database, conversation.key),
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
        async with self._deletion() as (tx, owners):
            # Also where nothing is stored: the first turn may still be on its way.
            await bury(tx, user_id, conversation_id, at_us)
            await forget_recalls(tx, user_id, conversation_id=conversation_id)
            deleted = await delete_conversation(tx, user_id, conversation_id)
            return _noted(deleted, owners)

    async def delete_message(self, conversation: int, message_id: int, at_us: int) -> bool:
        """Delete a message; tell whether it was there."""
        async with self._deletion() as (tx, owners):
            deleted = await delete_message(tx, conversation, message_id, at_us)
            return _noted(deleted, owners) is not None

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
                (
                    packed_bytes(record),
                    json.dumps(metadata_of(record)),
                    packed_id(request_id),
                    user_id,
                ),
            )
        return bool(updated.rowcount)

    async def delete_turn(self, user_id: str, request_id: str, at_us: int) -> int | None:
        """Delete a turn and what only it has; return how many messages are gone."""
        async with self._deletion() as (tx, owners):
            # Also where nothing is stored: it may still be on its way.
            await bury_turn(tx, user_id, request_id, at_us)
            await forget_recalls(tx, user_id, request_id=request_id)
            deleted = await delete_turn(tx, user_id, request_id, at_us)
            return _noted(deleted, owners)

    async def stats(self, user_id: str | None) -> Stats:
        """Count what is kept of a user; of all if None."""
        return await self._conversations.stats(user_id)

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

    async def following(self, user_id: str, message_ids: Sequence[int]) -> dict[int, int]:
        """Return which searchable message follows each on the path that goes on, if any does."""
        return await self._passages.following(user_id, message_ids)

    async def remember(self, user_id: str, conversation_id: str, new: NewNote, at_us: int) -> Note:
        """Keep a note in its conversation, once; return it as it is stored."""
        return await self._notes.remember(user_id, conversation_id, new, at_us)

    async def notes(
        self, user_id: str, where: NoteFilter, after: tuple[int, int] | None, limit: int
    ) -> list[Note]:
        """List notes and pinned messages, the latest first."""
        return await self._notes.notes(user_id, where, after, limit)

    async def pinned(self, user_id: str, project: str, limit: int) -> list[Passage]:
        """Return what is in every recall of the project, the latest first."""
        return await self._notes.pinned(user_id, project, limit)

    async def pin(self, user_id: str, message_id: int, project: str | None) -> Note | None:
        """Pin a message for a project, '' for all, or unpin it (None); None if there is none."""
        return await self._notes.pin(user_id, message_id, project)

    async def correct(self, user_id: str, message_id: int, text: str) -> Note | None:
        """Let a text stand for what a message says, '' for what was said; None if none."""
        return await self._notes.correct(user_id, message_id, text)

    async def forget(
        self, user_id: str, target: Target, at_us: int, *, preview: bool = False
    ) -> Forgotten | None:
        """Forget what a user names, or only count it; None if there is no such conversation."""
        if preview and not isinstance(target, TheseMessages):
            async with self._database.reader() as connection:
                return await weigh(connection, user_id, target)
        forgotten = None
        try:
            with suppress(_PreviewEndsError):
                async with self._deletion() as (tx, owners):
                    owner = await owner_of(tx, user_id)
                    forgotten = await forget(tx, user_id, target, at_us)
                    if preview:
                        raise _PreviewEndsError
                    if owner is not None:
                        owners.add(owner)
        finally:
            self._passages.forget_owner(user_id)
        return forgotten

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

    async def tidy(self) -> None:
        """Clear away what deletions left in the files, in short steps between other writes."""
        await self._compaction.clear_all()

    @asynccontextmanager
    async def _deletion(self) -> AsyncIterator[tuple[aiosqlite.Connection, set[int]]]:
        """Lend a transaction, and a set for the owners of what it deletes.

        What is kept of theirs outside the rows goes as well, even where the caller gives
        up while it is committed.
        """
        owners: set[int] = set()
        try:
            async with self._database.transaction() as tx:
                yield tx, owners
        finally:
            for owner in owners:
                await self._shelves.drop(owner)
            await self._compaction.clear(_CLEARING_SECONDS)


def _noted(deleted: Deleted | None, owners: set[int]) -> int | None:
    """Note whose messages were deleted; return how many, None for nothing to delete."""
    if deleted is None:
        return None
    owners.add(deleted.owner)
    return len(deleted.messages)
