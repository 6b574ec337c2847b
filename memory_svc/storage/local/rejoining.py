"""Where a client goes on that no longer sends all of its history.

A client whose window is full leaves out its oldest messages, or some in the middle. What
it repeats is looked for on the paths of the conversation, so that nothing is stored again
and nothing branches off. System messages, which clients move, do not count.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import aiosqlite

from memory_svc.model import Message
from memory_svc.storage.local.rows import to_path_node
from memory_svc.tree import ROOT, SYSTEM_ROLES, attempt_length, end_of_run, node_hash

# How far behind the end of the active path is looked first, and at how many other ends.
_SLACK = 16
_MOST_ENDS = 16
_ALL = -1

_UPWARD = """
with recursive path (id, parent) as (
  select id, parent from message where id = :end
  union all
  select m.id, m.parent from path join message as m on m.id = path.parent
  limit :most
)
select m.id, m.hash, m.position, m.role, m.text, m.body, m.finish_reason
from path join message as m on m.id = path.id order by m.position
"""

_OTHER_ENDS = """
select m.id from message as m
where m.conversation = :conversation
  and m.id <> (select head from conversation where key = :conversation)
  and not exists (
    select 1 from message as child where child.conversation = m.conversation
    and child.parent = m.id)
order by m.id desc limit :most
"""


_SYSTEM_UPWARD = """
with recursive path (id, parent) as (
  select id, parent from message where id = :end
  union all
  select m.id, m.parent from path join message as m on m.id = path.parent
)
select m.hash, m.text, m.body, m.finish_reason from path join message as m on m.id = path.id
where m.role = :role
"""


@dataclass(frozen=True, slots=True)
class Node:
    """A stored message as the next one's parent; id 0 is the root."""

    id: int
    hash: bytes
    position: int


START = Node(0, ROOT, -1)


@dataclass(frozen=True, slots=True)
class Rejoined:
    """The stored message `end` in which a client's first `count` messages end.

    `first` is the position of the first of them.
    """

    end: Node
    first: int
    count: int


async def rejoin(
    tx: aiosqlite.Connection, conversation: int, behind: Node, messages: Sequence[Message]
) -> Rejoined | None:
    """Find what messages repeat of the conversation `behind` a message; None if nothing.

    That is all up to their last answer, word for word: else they say something else.
    """
    count = _up_to_last_answer(messages)
    if not count:
        return None
    run = [node_hash(ROOT, each) for each in messages[:count] if each.role not in SYSTEM_ROLES]
    known: dict[int, bytes] = {}
    async for rows in _paths(tx, conversation, behind, len(run)):
        for row in rows:
            if row["id"] not in known:
                known[row["id"]] = node_hash(ROOT, to_path_node(row).message)
        end = end_of_run([known[row["id"]] for row in rows], run)
        if end is not None:
            first = rows[end - len(run)]["position"]
            return Rejoined(_node(rows[end - 1]), first, count)
    return None


async def before_attempt(tx: aiosqlite.Connection, leaf: Node, messages: Sequence[Message]) -> Node:
    """Return what a turn follows at the end of a path: not an unanswered attempt at itself."""
    rows = await _upward(tx, leaf.id, len(messages) + 2)
    length = attempt_length(list(map(to_path_node, rows)), messages)
    if not length:
        return leaf
    return _node(rows[-length - 1]) if length < len(rows) else START


async def is_on_path(tx: aiosqlite.Connection, end: int, message: Message) -> bool:
    """Tell whether a system message stands anywhere on the path that ends in `end`."""
    said = node_hash(ROOT, message)
    return any(
        node_hash(ROOT, to_path_node(row).message) == said
        for row in await tx.execute_fetchall(_SYSTEM_UPWARD, {"end": end, "role": message.role})
    )


def _up_to_last_answer(messages: Sequence[Message]) -> int:
    places = (n for n in range(len(messages), 0, -1) if messages[n - 1].role == "assistant")
    return next(places, 0)


async def _paths(
    tx: aiosqlite.Connection, conversation: int, behind: Node, length: int
) -> AsyncIterator[list[sqlite3.Row]]:
    """Yield the paths behind a message, without system messages: the likeliest first."""
    async with tx.execute("select head from conversation where key = ?", (conversation,)) as found:
        [head] = await found.fetchone() or (0,)
    if not behind.id:
        yield _plain(await _upward(tx, head, length + _SLACK))
    yield _from(behind, await _upward(tx, head, _ALL))
    ends = {"conversation": conversation, "most": _MOST_ENDS}
    for (end,) in await tx.execute_fetchall(_OTHER_ENDS, ends):
        yield _from(behind, await _upward(tx, end, _ALL))


async def _upward(tx: aiosqlite.Connection, end: int, most: int) -> list[sqlite3.Row]:
    """Return at most so many messages of the path that ends in `end`, oldest first."""
    return list(await tx.execute_fetchall(_UPWARD, {"end": end, "most": most}))


def _from(behind: Node, rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    if behind.id and all(row["id"] != behind.id for row in rows):
        return []
    return _plain([row for row in rows if row["position"] > behind.position])


def _node(row: sqlite3.Row) -> Node:
    return Node(row["id"], row["hash"], row["position"])


def _plain(rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    return [row for row in rows if row["role"] not in SYSTEM_ROLES]
