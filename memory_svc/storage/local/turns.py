"""Store one turn inside a transaction: its messages in the tree, and where in it they are.

How they get into the tree is `growing.py`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import aiosqlite

from memory_svc.model import Fate, Message, Turn, Usage
from memory_svc.records import metadata_of
from memory_svc.storage.local.compressing import packed_bytes, packed_message
from memory_svc.storage.local.forgotten import without_forgotten
from memory_svc.storage.local.growing import Place, Said, find_node, walk
from memory_svc.storage.local.instructions import keep_instructions
from memory_svc.storage.local.rejoining import START, Node, before_attempt
from memory_svc.storage.local.request_ids import packed_id
from memory_svc.storage.local.rows import first_row, join_message
from memory_svc.storage.local.tombstones import is_buried, is_turn_buried
from memory_svc.titles import title_of
from memory_svc.tree import split_system

_KNOWN = """
select 1 from turn where owner = :owner and request_id = :request_id
union all select 1 from request where owner = :owner and request_id = :request_id limit 1
"""
_MOST_TOKENS = 2**40  # beyond any real count; keeps sums within SQLite's integers


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where a turn's messages are: columns of its row."""

    instructions: bytes | None
    input_end: int
    input_count: int
    answer: int


async def append_turn(tx: aiosqlite.Connection, turn: Turn) -> Fate:
    """Store `turn` unless it was stored before or it or its conversation was deleted since."""
    if await is_buried(tx, turn.user_id, turn.conversation_id, turn.project, turn.at_us):
        return Fate.DELETED
    if await is_turn_buried(tx, turn.user_id, turn.request_id):
        return Fate.DELETED
    owner = await owner_key(tx, turn.user_id)
    if not await _is_new(tx, owner, turn.request_id):
        return Fate.DUPLICATE
    system, messages = split_system(turn.messages)
    key, head = await _conversation(tx, owner, turn)
    place = Place(owner, key, turn.request_id, turn.at_us)
    start = await _start(tx, place, head, turn)
    messages = await without_forgotten(tx, place, start, messages)
    asked = await walk(tx, place, start, list(map(Said, messages)), partial=start is START)
    instructions = await keep_instructions(tx, key, (*system, *asked.beside))
    leaf = (await walk(tx, place, asked.end, _reply(turn))).end
    ends = _Ends(instructions, asked.end.id, asked.count, leaf.id if turn.reply else 0)
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
            turn.title or title_of(messages),
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


async def add_message(
    tx: aiosqlite.Connection, owner: int, conversation: int, message: Message, at_us: int
) -> int:
    """Continue a conversation's active path with a message of no turn; return its number."""
    row = await first_row(
        tx,
        "select m.id, m.hash, m.position from conversation as c"
        " join message as m on m.id = c.head where c.key = ?",
        (conversation,),
    )
    leaf = Node(*row) if row else START
    place = Place(owner, conversation, "", at_us)
    node = (await walk(tx, place, leaf, [Said(message)])).end
    await tx.execute(
        "update conversation set head = ?, updated_us = max(updated_us, ?) where key = ?",
        (node.id, at_us, conversation),
    )
    return node.id


async def _is_new(tx: aiosqlite.Connection, owner: int, request_id: str) -> bool:
    row = await first_row(tx, _KNOWN, {"owner": owner, "request_id": packed_id(request_id)})
    return row is None


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


async def _start(tx: aiosqlite.Connection, place: Place, head: int, turn: Turn) -> Node:
    """Return the node the turn follows: the named one, the active leaf, or the root."""
    if turn.after_request_id:
        named = await _end_of(tx, place, turn.after_request_id)
    elif turn.parent_head:
        try:
            named = await find_node(tx, place.conversation, bytes.fromhex(turn.parent_head))
        except ValueError:  # not a head of ours
            named = None
    else:
        return START
    if named is not None:
        return named
    row = await first_row(tx, "select id, hash, position from message where id = ?", (head,))
    if row is None:
        return START
    return await before_attempt(tx, Node(*row), split_system(turn.messages)[1])


async def _end_of(tx: aiosqlite.Connection, place: Place, request_id: str) -> Node | None:
    """Return the last message of another turn of the conversation; None if it has no such turn."""
    row = await first_row(
        tx,
        "select m.id, m.hash, m.position from turn as t"
        " join message as m on m.id = iif(t.answer, t.answer, t.input_end)"
        " where t.owner = ? and t.request_id = ? and t.conversation = ?",
        (place.owner, packed_id(request_id), place.conversation),
    )
    return Node(*row) if row else None


def _reply(turn: Turn) -> list[Said]:
    if turn.reply is None:
        return []
    return [
        Said(
            turn.reply,
            model=turn.model,
            backend=turn.backend,
            usage=turn.usage,
            finish_reason=turn.finish_reason,
            generated=turn.generated_from_memory,
        )
    ]


async def _keep(tx: aiosqlite.Connection, place: Place, turn: Turn, ends: _Ends) -> None:
    """Store what can be found again of the turn itself."""
    cursor = await tx.execute(
        "insert into turn (owner, request_id, conversation, created_us, endpoint, instructions,"
        " input_end, input_count, answer, reply, model, backend, usage, token_count,"
        " finish_reason, record, metadata)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(place.owner, packed_id(turn.request_id), place.conversation),
            *(turn.at_us, turn.endpoint),
            *(ends.instructions, ends.input_end, ends.input_count, ends.answer),
            await _other_wording(tx, ends.answer, turn.reply),
            *(turn.model, turn.backend, turn.usage and turn.usage.SerializeToString()),
            *(_tokens(turn.usage), turn.finish_reason, packed_bytes(turn.record) or None),
            json.dumps(metadata_of(turn.record)),
        ),
    )
    await tx.executemany(
        "insert into other_reply values (?, ?, ?)",
        [
            (cursor.lastrowid, position, packed_message(reply))
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
    return packed_message(reply)


def _tokens(usage: Usage | None) -> int:
    if usage is None:
        return 0
    parts = max(usage.prompt_tokens, 0) + max(usage.completion_tokens, 0)
    total = usage.total_tokens if usage.HasField("total_tokens") else parts
    return min(max(total, 0), _MOST_TOKENS)
