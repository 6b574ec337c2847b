"""Messages that were forgotten out of chats which go on, so that they stay away.

Clients send their history with each request, and in it what was forgotten. It is known by
its place in the tree, behind the same message, and by a hash of what it says: so short that
nobody can tell from it what that was. Said anew, as the last thing a client sends, it is
not forgotten any more.
"""

from __future__ import annotations

from collections.abc import Sequence

import aiosqlite

from memory_svc.model import Message
from memory_svc.storage.local.growing import Place, find_node
from memory_svc.storage.local.rejoining import Node
from memory_svc.tree import ROOT, SYSTEM_ROLES, node_hash

_HASH_BYTES = 2


async def note_forgotten(
    tx: aiosqlite.Connection, conversation: int, parent: int, message: Message, at_us: int
) -> None:
    """Note that a message behind `parent` is being forgotten."""
    await tx.execute(
        "insert or replace into forgotten values (?, ?, ?, ?)",
        (conversation, parent, _hash(message), at_us),
    )


async def move_forgotten(
    tx: aiosqlite.Connection, conversation: int, gone: int, instead: int
) -> None:
    """Let what was forgotten behind one message have been behind another."""
    await tx.execute(
        "update or replace forgotten set parent = ? where conversation = ? and parent = ?",
        (instead, conversation, gone),
    )


async def without_forgotten(
    tx: aiosqlite.Connection, place: Place, start: Node, messages: Sequence[Message]
) -> tuple[Message, ...]:
    """Return what a client sent, to follow `start`, without what was forgotten."""
    rows = await tx.execute_fetchall(
        "select parent, content, at_us from forgotten where conversation = ?",
        (place.conversation,),
    )
    forgotten = {(row["parent"], row["content"]): row["at_us"] for row in rows}
    if not forgotten:
        return tuple(messages)
    kept: list[Message] = []
    node, new = start, _first_new(messages)
    for n, message in enumerate(messages):
        at_us = forgotten.get((node.id, _hash(message)))
        if at_us is not None and (n < new or place.at_us <= at_us):
            continue
        if at_us is not None:
            await _said_anew(tx, place.conversation, node.id, message)
        kept.append(message)
        stored = await find_node(tx, place.conversation, node_hash(node.hash, message))
        if stored is None and message.role not in SYSTEM_ROLES:
            return (*kept, *messages[n + 1 :])
        node = stored or node
    return tuple(kept)


async def _said_anew(
    tx: aiosqlite.Connection, conversation: int, parent: int, message: Message
) -> None:
    await tx.execute(
        "delete from forgotten where conversation = ? and parent = ? and content = ?",
        (conversation, parent, _hash(message)),
    )


def _first_new(messages: Sequence[Message]) -> int:
    """Return where a client's history ends: behind the last answer in it."""
    return max((n + 1 for n, each in enumerate(messages) if each.role == "assistant"), default=0)


def _hash(message: Message) -> bytes:
    return node_hash(ROOT, message)[-_HASH_BYTES:]
