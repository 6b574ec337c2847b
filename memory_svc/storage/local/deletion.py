"""Delete conversations, turns and messages inside a transaction, with all derived from them.

What lies outside the database (the vectors' index) is the caller's to tell.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import aiosqlite

from memory_svc.model import Message
from memory_svc.pruning import Follower, Node, Regrown, regrow
from memory_svc.storage.local.compressing import packed_message
from memory_svc.storage.local.forgotten import move_forgotten
from memory_svc.storage.local.indexing import follow_another, unindex_messages
from memory_svc.storage.local.instructions import drop_instructions
from memory_svc.storage.local.request_ids import packed_id
from memory_svc.storage.local.rows import first_row, join_message
from memory_svc.titles import title_of
from memory_svc.tree import ROOT

# Whether another turn ends with the message (one that sent it in its midst has another
# behind it), it came with a request of which nothing else is known, or it is a note.
_WANTED = """
exists (
  select 1 from turn as o where o.conversation = m.conversation and o.key <> :turn
  and (o.answer = m.id or (o.input_end = m.id and o.input_count > 0)))
or (m.request_id <> '' and not exists (
  select 1 from turn as o where o.owner = :owner and o.request_id = m.request_id))
or exists (select 1 from note as n where n.message = m.id and n.written)
"""

_FOLLOWER_COUNT = """
select count(*) from message as f where f.conversation = m.conversation and f.parent = m.id
"""

# From the end of a turn back, what nothing follows but what goes as well and nobody wants.
# That may be more than the turn's own: what turns that are deleted already left for it.
_ONLY_OF = f"""
with recursive gone (id, parent) as (
  select m.id, m.parent
  from turn as t join message as m on m.id = iif(t.answer, t.answer, t.input_end)
  where t.key = :turn and ({_FOLLOWER_COUNT}) = 0 and not ({_WANTED})
  union all
  select m.id, m.parent from gone join message as m on m.id = gone.parent
  where ({_FOLLOWER_COUNT}) = 1 and not ({_WANTED})
)
select m.id, m.parent, m.text, m.body from gone join message as m on m.id = gone.id
order by m.position desc
"""  # noqa: S608  # constant text

_BENEATH = """
with recursive beneath (id) as (
  select :start
  union all
  select m.id from beneath join message as m
  on m.conversation = :conversation and m.parent = beneath.id
)
"""

_NEWEST_END = f"""
{_BENEATH} select id from beneath where not exists (
  select 1 from message as f where f.conversation = :conversation and f.parent = beneath.id)
order by id desc limit 1
"""  # noqa: S608  # constant text

_FOLLOWERS = f"""
{_BENEATH} select m.id, m.parent, m.text, m.body
from beneath join message as m on m.id = beneath.id where m.id <> :start
order by m.position, m.id
"""  # noqa: S608  # constant text

_OTHERS = f"""
{_BENEATH} select m.id, m.hash from message as m
where m.conversation = :conversation and m.id not in (select id from beneath)
"""  # noqa: S608  # constant text

# Turns that sent the message send one less.
_SENT_ONE_LESS = f"""
{_BENEATH} update turn set input_count = input_count - 1
where conversation = :conversation and input_end in (select id from beneath)
  and (select position from message where id = input_end)
    - (select position from message where id = :start) < input_count
"""  # noqa: S608  # constant text

_ACTIVE_PATH = """
with recursive path (id, parent) as (
  select m.id, m.parent from conversation as c join message as m on m.id = c.head
  where c.key = ?
  union all
  select m.id, m.parent from path join message as m on m.id = path.parent
)
select m.text, m.body from path join message as m on m.id = path.id order by m.position
"""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The messages that are gone, and whose they were."""

    owner: int
    messages: tuple[int, ...]


async def delete_conversation(
    tx: aiosqlite.Connection, user_id: str, conversation_id: str
) -> Deleted | None:
    """Delete a conversation; None if the user has none of that id."""
    found = await first_row(
        tx,
        "select c.key, c.owner from conversation as c join owner as o on o.key = c.owner"
        " where o.user_id = ? and c.id = ?",
        (user_id, conversation_id),
    )
    if found is None:
        return None
    return Deleted(found["owner"], await delete_conversations(tx, [found["key"]]))


async def delete_conversations(tx: aiosqlite.Connection, keys: Sequence[int]) -> tuple[int, ...]:
    """Delete the conversations of these keys; return which messages they had."""
    these = (json.dumps(keys),)
    rows = await tx.execute_fetchall(
        "select id from message where conversation in (select value from json_each(?))", these
    )
    ids = tuple(row["id"] for row in rows)
    await _remove(tx, ids)
    await tx.execute(
        "delete from conversation where key in (select value from json_each(?))", these
    )
    return ids


async def delete_turn(
    tx: aiosqlite.Connection, user_id: str, request_id: str, at_us: int
) -> Deleted | None:
    """Delete a turn and what only it has; None if the user has none of that id."""
    turn = await first_row(
        tx,
        "select t.* from turn as t join owner as o on o.key = t.owner"
        " where o.user_id = ? and t.request_id = ?",
        (user_id, packed_id(request_id)),
    )
    if turn is None:
        return None
    conversation = turn["conversation"]
    only = {"turn": turn["key"], "owner": turn["owner"]}
    gone = list(await tx.execute_fetchall(_ONLY_OF, only))
    await tx.execute("delete from turn where key = ?", (turn["key"],))
    if turn["instructions"] is not None:
        await drop_instructions(tx, conversation, turn["instructions"])
    if gone:
        await _cut_off(tx, conversation, gone)
    # What stays is other requests' now.
    await tx.execute(
        "update message set request_id = '' where conversation = ? and request_id = ?",
        (conversation, turn["request_id"]),
    )
    await tx.execute(
        "update conversation set token_count = max(0, token_count - ?) where key = ?",
        (turn["token_count"], conversation),
    )
    if not await _went_with_its_turns(tx, conversation):
        await _retitle(tx, conversation, gone)
        await _touch(tx, conversation, at_us)
    return Deleted(turn["owner"], tuple(row["id"] for row in gone))


async def delete_message(
    tx: aiosqlite.Connection, conversation: int, message_id: int, at_us: int
) -> Deleted | None:
    """Delete a message; what followed it follows its parent. None if it is not there."""
    message = await first_row(
        tx,
        "select m.*, c.owner from message as m join conversation as c on c.key = m.conversation"
        " where m.conversation = ? and m.id = ?",
        (conversation, message_id),
    )
    if message is None:
        return None
    regrown = await _regrown(tx, message)
    await _take_out_of_turns(tx, message)
    await move_forgotten(tx, conversation, message_id, message["parent"])
    await tx.execute(
        "update conversation set head = ? where key = ? and head = ?",
        (message["parent"], conversation, message_id),
    )
    for merged, same in regrown.merged.items():
        await _become_one(tx, conversation, merged, same)
    gone = (message_id, *regrown.merged)
    await _remove(tx, gone)
    # Parents come first: a hash that is taken over has been left before.
    await tx.executemany(
        "update message set parent = ?, hash = ?, position = position - 1 where id = ?",
        [(moved.parent, moved.hash, moved.id) for moved in regrown.moved],
    )
    await _retitle(tx, conversation, [message])
    await _touch(tx, conversation, at_us)
    return Deleted(message["owner"], gone)


# -- turns ---------------------------------------------------------------------


async def _cut_off(
    tx: aiosqlite.Connection, conversation: int, gone: Sequence[sqlite3.Row]
) -> None:
    """Remove the end of a branch; where it was the active one, the newest other one is."""
    stump, ids = gone[-1]["parent"], [row["id"] for row in gone]
    await tx.execute(
        "update turn set input_end = ? where conversation = ?"
        " and input_end in (select value from json_each(?))",
        (stump, conversation, json.dumps(ids)),
    )
    await _remove(tx, ids)
    head = await first_row(tx, "select head from conversation where key = ?", (conversation,))
    assert head is not None
    if head["head"] in ids:
        end = await first_row(tx, _NEWEST_END, {"start": stump, "conversation": conversation})
        assert end is not None, "the stump itself if nothing follows it"
        await tx.execute(
            "update conversation set head = ? where key = ?", (end["id"], conversation)
        )


async def _went_with_its_turns(tx: aiosqlite.Connection, conversation: int) -> bool:
    """Delete a conversation that only turns wanted if nothing is left in it."""
    deleted = await tx.execute(
        "delete from conversation where key = :key and begun_by_turn"
        " and not exists (select 1 from turn where conversation = :key)"
        " and not exists (select 1 from message where conversation = :key)",
        {"key": conversation},
    )
    return bool(deleted.rowcount)


# -- messages ------------------------------------------------------------------


async def _regrown(tx: aiosqlite.Connection, message: sqlite3.Row) -> Regrown:
    place = {"start": message["id"], "conversation": message["conversation"]}
    followers = await tx.execute_fetchall(_FOLLOWERS, place)
    others = await tx.execute_fetchall(_OTHERS, place)
    parent = await first_row(tx, "select hash from message where id = ?", (message["parent"],))
    return regrow(
        message["id"],
        Node(message["parent"], parent["hash"] if parent else ROOT),
        [Follower(row["id"], row["parent"], _message(row)) for row in followers],
        {row["hash"]: row["id"] for row in others},
    )


async def _take_out_of_turns(tx: aiosqlite.Connection, message: sqlite3.Row) -> None:
    """Make turns that sent or got the message ones that did not."""
    place = {"start": message["id"], "conversation": message["conversation"]}
    await tx.execute(_SENT_ONE_LESS, place)
    await tx.execute(
        "update turn set input_end = :parent where conversation = :conversation"
        " and input_end = :start",
        {**place, "parent": message["parent"]},
    )
    await tx.execute(
        "delete from other_reply where turn in"
        " (select key from turn where conversation = :conversation and answer = :start)",
        place,
    )
    await tx.execute(
        "update turn set answer = 0, reply = null"
        " where conversation = :conversation and answer = :start",
        place,
    )


async def _become_one(tx: aiosqlite.Connection, conversation: int, merged: int, same: int) -> None:
    """Put a message in the place of another that counts as the same."""
    await follow_another(tx, merged, same)
    await move_forgotten(tx, conversation, merged, same)
    row = await first_row(tx, "select text, body from message where id = ?", (merged,))
    assert row is not None
    wording = packed_message(_message(row))
    await tx.execute(
        "update turn set answer = ?, reply = coalesce(reply, ?)"
        " where conversation = ? and answer = ?",
        (same, wording, conversation, merged),
    )
    await tx.execute(
        "update turn set input_end = ? where conversation = ? and input_end = ?",
        (same, conversation, merged),
    )
    await tx.execute(
        "update conversation set head = ? where key = ? and head = ?",
        (same, conversation, merged),
    )


# -- both ----------------------------------------------------------------------


async def _remove(tx: aiosqlite.Connection, ids: Sequence[int]) -> None:
    """Remove messages with their words and vectors."""
    await unindex_messages(tx, ids)
    await tx.execute(
        "delete from message where id in (select value from json_each(?))", (json.dumps(ids),)
    )


async def _retitle(
    tx: aiosqlite.Connection, conversation: int, gone: Iterable[sqlite3.Row]
) -> None:
    """Call a conversation anew that was called after what is gone."""
    row = await first_row(tx, "select title from conversation where key = ?", (conversation,))
    assert row is not None
    if not row["title"] or row["title"] not in {title_of([_message(each)]) for each in gone}:
        return
    left = await tx.execute_fetchall(_ACTIVE_PATH, (conversation,))
    await tx.execute(
        "update conversation set title = ? where key = ?",
        (title_of(map(_message, left)), conversation),
    )


async def _touch(tx: aiosqlite.Connection, conversation: int, at_us: int) -> None:
    await tx.execute(
        "update conversation set updated_us = max(updated_us, ?) where key = ?",
        (at_us, conversation),
    )


def _message(row: sqlite3.Row) -> Message:
    return join_message(row["text"], row["body"])
