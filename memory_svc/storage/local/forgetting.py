"""Forget what a user names inside a transaction, and count what is gone.

The counts are what was there before less what is there after. What lies outside the
database (the vectors' index) is the caller's to tell.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import aiosqlite

from memory_svc.kept import (
    Everything,
    Forgotten,
    OneConversation,
    OneProject,
    Target,
    TheseMessages,
)
from memory_svc.storage.local.deletion import (
    delete_conversation,
    delete_conversations,
    delete_message,
)
from memory_svc.storage.local.forgotten import note_forgotten
from memory_svc.storage.local.recalls import forget_recalls
from memory_svc.storage.local.rows import first_row, join_message
from memory_svc.storage.local.tombstones import bury, bury_all, bury_project, bury_user

_COUNTS = """
select
  (select count(*) from conversation as c join message as m on m.conversation = c.key
    where c.owner = :owner) as messages,
  (select count(*) from conversation where owner = :owner) as conversations,
  (select count(*) from note where owner = :owner and written) as notes,
  (select count(*) from recall where owner = :owner) as recalls
"""

# The same of one conversation, or of one project and all that was recalled for it.
_WEIGHT = """
with these as (
  select key, id from conversation
  where owner = :owner and (id = :conversation_id or project = :project)
)
select
  (select count(*) from these join message as m on m.conversation = these.key) as messages,
  (select count(*) from these) as conversations,
  (select count(*) from note as n join message as m on m.id = n.message
    where n.owner = :owner and n.written and m.conversation in (select key from these)) as notes,
  (select count(*) from recall as r where r.owner = :owner and (r.project = :project
    or r.conversation_id in (select id from these)
    or r.request_id in (
      select t.request_id from these join turn as t on t.conversation = these.key))) as recalls
"""

# From the end of a conversation to its beginning, so that less follows what goes.
_OF_OWNER = """
select m.id, m.conversation from json_each(:ids) as wanted
join message as m on m.id = wanted.value join conversation as c on c.key = m.conversation
where c.owner = :owner order by m.conversation, m.position desc, m.id desc
"""

_ALL = "select key, id from conversation where owner = :owner"
_OF_PROJECT = f"{_ALL} and project = :value"
_LEFT_EMPTY = """
select key, id from conversation as c
where owner = :owner and key in (select value from json_each(:value))
and not exists (select 1 from message as m where m.conversation = c.key)
"""


@dataclass(frozen=True, slots=True)
class _Owner:
    key: int
    user_id: str


async def owner_of(tx: aiosqlite.Connection, user_id: str) -> int | None:
    """Return a user's number; None for one of whom nothing was ever kept."""
    row = await first_row(tx, "select key from owner where user_id = ?", (user_id,))
    return row["key"] if row else None


async def forget(
    tx: aiosqlite.Connection, user_id: str, target: Target, at_us: int
) -> Forgotten | None:
    """Forget what a user names, and return how much it was; None if there is no such thing.

    A conversation, a project, a user stay forgotten also where nothing of them was kept:
    the first turn may still be on its way.
    """
    owner = await owner_of(tx, user_id)
    if owner is None:
        await _bury(tx, user_id, target, at_us)
        return None if isinstance(target, OneConversation) else Forgotten()
    before = await _counts(tx, owner)
    await _bury(tx, user_id, target, at_us)
    was_there = await _forget(tx, _Owner(owner, user_id), target, at_us)
    after = await _counts(tx, owner)
    return _difference(before, after) if was_there else None


async def weigh(
    connection: aiosqlite.Connection,
    user_id: str,
    target: OneConversation | OneProject | Everything,
) -> Forgotten | None:
    """Count what `forget` would forget, without trying it."""
    owner = await owner_of(connection, user_id)
    if owner is None:
        return None if isinstance(target, OneConversation) else Forgotten()
    match target:
        case OneConversation(conversation_id):
            weight = await _weight(connection, owner, conversation_id=conversation_id)
            return weight if weight.conversations else None
        case OneProject(name):
            return await _weight(connection, owner, project=name)
        case Everything():
            return await _counts(connection, owner)
        case _:
            assert_never(target)


async def _bury(tx: aiosqlite.Connection, user_id: str, target: Target, at_us: int) -> None:
    match target:
        case OneConversation(conversation_id):
            await bury(tx, user_id, conversation_id, at_us)
        case OneProject(name):
            await bury_project(tx, user_id, name, at_us)
        case Everything():
            await bury_user(tx, user_id, at_us)
        case TheseMessages():
            pass
        case _:
            assert_never(target)


async def _forget(tx: aiosqlite.Connection, owner: _Owner, target: Target, at_us: int) -> bool:
    """Delete what is named; tell whether it was there, if it is one thing."""
    match target:
        case TheseMessages(ids):
            await _forget_messages(tx, owner, ids, at_us)
        case OneConversation(conversation_id):
            await forget_recalls(tx, owner.user_id, conversation_id=conversation_id)
            return await delete_conversation(tx, owner.user_id, conversation_id) is not None
        case OneProject(name):
            await _forget_conversations(tx, owner, _OF_PROJECT, name, at_us)
            await tx.execute(
                "delete from recall where owner = ? and project = ?", (owner.key, name)
            )
        case Everything():
            await _forget_conversations(tx, owner, _ALL, "", at_us)
            await _forget_owner(tx, owner)
        case _:
            assert_never(target)
    return True


async def _forget_messages(
    tx: aiosqlite.Connection, owner: _Owner, ids: Sequence[int], at_us: int
) -> None:
    """Delete those of the messages that are the owner's, and conversations left empty."""
    wanted = {"ids": json.dumps(ids), "owner": owner.key}
    rows = list(await tx.execute_fetchall(_OF_OWNER, wanted))
    for row in rows:
        await _forget_message(tx, row["conversation"], row["id"], at_us)
    touched = json.dumps(sorted({row["conversation"] for row in rows}))
    await _forget_conversations(tx, owner, _LEFT_EMPTY, touched, at_us)


async def _forget_message(
    tx: aiosqlite.Connection, conversation: int, message_id: int, at_us: int
) -> None:
    row = await first_row(tx, "select parent, text, body from message where id = ?", (message_id,))
    if row is None:
        return  # it went as one with another
    message = join_message(row["text"], row["body"])
    await note_forgotten(tx, conversation, row["parent"], message, at_us)
    await delete_message(tx, conversation, message_id, at_us)


async def _forget_conversations(
    tx: aiosqlite.Connection, owner: _Owner, which: str, value: str, at_us: int
) -> None:
    rows = list(await tx.execute_fetchall(which, {"owner": owner.key, "value": value}))
    await bury_all(tx, owner.user_id, [row["id"] for row in rows], at_us)
    await delete_conversations(tx, [row["key"] for row in rows])


async def _forget_owner(tx: aiosqlite.Connection, owner: _Owner) -> None:
    """Delete what is known of the owner beside conversations.

    The number stays without a name: given to another user, it could let them find what a
    search that began before is still bringing up.
    """
    await tx.execute("delete from recall where owner = ?", (owner.key,))
    await tx.execute("delete from request where owner = ?", (owner.key,))
    await tx.execute("update owner set user_id = hex(randomblob(16)) where key = ?", (owner.key,))


async def _counts(tx: aiosqlite.Connection, owner: int) -> Forgotten:
    """Count all that is kept of the owner."""
    return _read(await first_row(tx, _COUNTS, {"owner": owner}))


async def _weight(
    connection: aiosqlite.Connection,
    owner: int,
    *,
    conversation_id: str | None = None,
    project: str | None = None,
) -> Forgotten:
    named = {"owner": owner, "conversation_id": conversation_id, "project": project}
    return _read(await first_row(connection, _WEIGHT, named))


def _read(row: sqlite3.Row | None) -> Forgotten:
    assert row is not None
    return Forgotten(row["messages"], row["conversations"], row["notes"], row["recalls"])


def _difference(before: Forgotten, after: Forgotten) -> Forgotten:
    return Forgotten(
        messages=before.messages - after.messages,
        conversations=before.conversations - after.conversations,
        notes=before.notes - after.notes,
        recalls=before.recalls - after.recalls,
    )
