"""Store one turn inside a transaction: find its place in the tree, add what is missing.

What the turn itself keeps is where in the tree its messages are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import aiosqlite

from memory_svc.model import Fate, Message, Turn, Usage
from memory_svc.records import metadata_of
from memory_svc.storage.local.indexing import index_message
from memory_svc.storage.local.instructions import keep_instructions
from memory_svc.storage.local.rows import first_row, join_message, split_message
from memory_svc.storage.local.tombstones import is_buried, is_turn_buried
from memory_svc.titles import title_of
from memory_svc.tree import ROOT, chain, split_system
from svckit.times import now_us

# Only what people and models said to each other is worth finding; tools' output
# and instructions would drown it.
_SEARCHABLE_ROLES = ("user", "assistant")
_MOST_TOKENS = 2**40  # beyond any real count; keeps sums within SQLite's integers


@dataclass(frozen=True, slots=True)
class _Node:
    """A stored message as the next one's parent; id 0 is the root."""

    id: int
    hash: bytes
    position: int


_START = _Node(0, ROOT, -1)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where and when a turn's new messages go in."""

    owner: int
    conversation: int
    request_id: str
    at_us: int


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where a turn's messages are: columns of its row."""

    instructions: bytes | None
    input_end: int
    input_count: int
    answer: int


@dataclass(frozen=True, slots=True)
class _Said:
    """A message, and for an answer what produced it."""

    message: Message
    model: str = ""
    backend: str = ""
    usage: Usage | None = None
    finish_reason: str = ""
    generated: bool = False


async def append_turn(tx: aiosqlite.Connection, turn: Turn) -> Fate:
    """Store `turn` unless it was stored before or it or its conversation was deleted since."""
    if await is_buried(tx, turn.user_id, turn.conversation_id, turn.at_us):
        return Fate.DELETED
    if await is_turn_buried(tx, turn.user_id, turn.request_id):
        return Fate.DELETED
    owner = await owner_key(tx, turn.user_id)
    if not await _is_new(tx, owner, turn.request_id):
        return Fate.DUPLICATE
    system, messages = split_system(turn.messages)
    key, head = await _conversation(tx, owner, turn)
    instructions = await keep_instructions(tx, key, system)
    start = await _start(tx, key, head, turn.parent_head)
    place = _Place(owner, key, turn.request_id, turn.at_us)
    asked = await _walk(tx, place, start, list(map(_Said, messages)))
    leaf = await _walk(tx, place, asked, _reply(turn))
    ends = _Ends(instructions, asked.id, len(messages), leaf.id if turn.reply else 0)
    await _keep(tx, place, turn, ends)
    await tx.execute(
        "update conversation set head = ?, updated_us = max(updated_us, ?),"
        " token_count = token_count + ?,"
        " title = iif(title = '', ?, title), project = iif(project = '', ?, project),"
        " session_id = iif(session_id = '', ?, session_id) where key = ?",
        (
            leaf.id or head,
            turn.at_us,
            _tokens(turn.usage),
            title_of(messages),
            turn.project,
            turn.session_id,
            key,
        ),
    )
    return Fate.STORED


async def owner_key(tx: aiosqlite.Connection, user_id: str) -> int:
    """Return the number of a user, giving one to a user who has none."""
    await tx.execute("insert or ignore into owner (user_id) values (?)", (user_id,))
    row = await first_row(tx, "select key from owner where user_id = ?", (user_id,))
    assert row is not None
    return int(row["key"])


async def _is_new(tx: aiosqlite.Connection, owner: int, request_id: str) -> bool:
    cursor = await tx.execute(
        "insert or ignore into request values (?, ?, ?)", (owner, request_id, now_us())
    )
    return cursor.rowcount == 1


async def _conversation(tx: aiosqlite.Connection, owner: int, turn: Turn) -> tuple[int, int]:
    """Return the conversation's key and head, beginning it if it does not exist."""
    await tx.execute(
        "insert or ignore into conversation"
        " (owner, id, project, session_id, title, tags, metadata, created_us, updated_us,"
        " begun_by_turn) values (?, ?, ?, ?, '', '[]', '{}', ?, ?, 1)",
        (owner, turn.conversation_id, turn.project, turn.session_id, turn.at_us, turn.at_us),
    )
    row = await first_row(
        tx,
        "select key, head from conversation where owner = ? and id = ?",
        (owner, turn.conversation_id),
    )
    assert row is not None
    return row["key"], row["head"]


async def _start(tx: aiosqlite.Connection, key: int, head: int, parent_head: str) -> _Node:
    """Return the node the turn follows: the named one, the active leaf, or the root."""
    if not parent_head:
        return _START
    try:
        named = await _node(tx, key, bytes.fromhex(parent_head))
    except ValueError:  # not a head of ours
        named = None
    if named is not None:
        return named
    row = await first_row(tx, "select id, hash, position from message where id = ?", (head,))
    return _Node(*row) if row else _START


async def _node(tx: aiosqlite.Connection, key: int, node_hash: bytes) -> _Node | None:
    row = await first_row(
        tx,
        "select id, hash, position from message where conversation = ? and hash = ?",
        (key, node_hash),
    )
    return _Node(*row) if row else None


def _reply(turn: Turn) -> list[_Said]:
    if turn.reply is None:
        return []
    return [
        _Said(
            turn.reply,
            model=turn.model,
            backend=turn.backend,
            usage=turn.usage,
            finish_reason=turn.finish_reason,
            generated=turn.generated_from_memory,
        )
    ]


async def _walk(
    tx: aiosqlite.Connection, place: _Place, start: _Node, said: Sequence[_Said]
) -> _Node:
    """Follow `said` from `start`, adding what is missing; return the last node.

    A stored node has all its ancestors stored, so looking from the end finds
    where the new ones begin in one or two steps.
    """
    hashes = chain(start.hash, (each.message for each in said))
    node, known = start, len(said)
    while known:
        stored = await _node(tx, place.conversation, hashes[known - 1])
        if stored is not None:
            node = stored
            break
        known -= 1
    for node_hash, each in zip(hashes[known:], said[known:], strict=True):
        node = await _add(tx, place, node, node_hash, each)
    return node


async def _add(
    tx: aiosqlite.Connection, place: _Place, parent: _Node, node_hash: bytes, said: _Said
) -> _Node:
    text, body = split_message(said.message)
    role = said.message.role
    generated = said.generated or await _was_generated(tx, place.owner, role, text)
    says_something = text is not None and not text.isspace() and text != ""
    searchable = role in _SEARCHABLE_ROLES and says_something and not generated
    cursor = await tx.execute(
        "insert into message (conversation, parent, position, hash, role, text, body, created_us,"
        " request_id, model, backend, usage, finish_reason, generated, searchable)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(place.conversation, parent.id, parent.position + 1, node_hash, role, text, body),
            *(place.at_us, place.request_id, said.model, said.backend),
            said.usage and said.usage.SerializeToString(),
            *(said.finish_reason, generated, searchable),
        ),
    )
    assert cursor.lastrowid is not None
    if searchable:
        await index_message(tx, cursor.lastrowid)
    return _Node(cursor.lastrowid, node_hash, parent.position + 1)


async def _was_generated(tx: aiosqlite.Connection, owner: int, role: str, text: str | None) -> bool:
    """Tell whether a client sends back an answer that lair itself made out of memory.

    Without this such an answer would become searchable as soon as a client edits
    an earlier message and so begins another branch.
    """
    if role != "assistant" or text is None:
        return False
    found = await first_row(
        tx,
        "select 1 from message as m join conversation as c on c.key = m.conversation"
        " where m.generated = 1 and length(m.text) = length(?) and m.text = ? and c.owner = ?",
        (text, text, owner),
    )
    return found is not None


async def _keep(tx: aiosqlite.Connection, place: _Place, turn: Turn, ends: _Ends) -> None:
    """Store what can be found again of the turn itself."""
    cursor = await tx.execute(
        "insert into turn (owner, request_id, conversation, created_us, endpoint, instructions,"
        " input_end, input_count, answer, reply, model, backend, usage, token_count,"
        " finish_reason, record, metadata)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(place.owner, turn.request_id, place.conversation, turn.at_us, turn.endpoint),
            *(ends.instructions, ends.input_end, ends.input_count, ends.answer),
            await _other_wording(tx, ends.answer, turn.reply),
            *(turn.model, turn.backend, turn.usage and turn.usage.SerializeToString()),
            *(_tokens(turn.usage), turn.finish_reason, turn.record or None),
            json.dumps(metadata_of(turn.record)),
        ),
    )
    await tx.executemany(
        "insert into other_reply values (?, ?, ?)",
        [
            (cursor.lastrowid, position, reply.SerializeToString())
            for position, reply in enumerate(turn.other_replies)
        ],
    )


async def _other_wording(
    tx: aiosqlite.Connection, answer: int, reply: Message | None
) -> bytes | None:
    """Return the answer if another that counts as the same is in its place, else None."""
    if reply is None:
        return None
    row = await first_row(tx, "select text, body from message where id = ?", (answer,))
    assert row is not None
    if join_message(row["text"], row["body"]) == reply:
        return None
    return reply.SerializeToString()


def _tokens(usage: Usage | None) -> int:
    if usage is None:
        return 0
    parts = max(usage.prompt_tokens, 0) + max(usage.completion_tokens, 0)
    total = usage.total_tokens if usage.HasField("total_tokens") else parts
    return min(max(total, 0), _MOST_TOKENS)
