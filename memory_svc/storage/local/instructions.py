"""System messages kept beside the tree, where they led.

Turns that sent the same share them, and what they say all conversations of their owner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import aiosqlite

from memory_svc.model import Message
from memory_svc.storage.local.compressing import packed_bytes
from memory_svc.storage.local.functions import digest_of
from memory_svc.storage.local.rows import first_row

# The hash of those that were stored before turns were kept; no turn has them.
_ANCIENT = b"\0"


async def keep_instructions(
    tx: aiosqlite.Connection, conversation: int, system: Sequence[Message]
) -> bytes | None:
    """Keep what a turn sent as the conversation's latest; return its hash, None for none."""
    if not system:
        return None
    bodies = [message.SerializeToString(deterministic=True) for message in system]
    digest = _digest_of_all(bodies)
    known = await first_row(
        tx,
        "select 1 from instruction where conversation = ? and hash = ?",
        (conversation, digest),
    )
    if known is None:
        for position, body in enumerate(bodies):
            await tx.execute(
                "insert into instruction_use values (?, ?, ?, ?, ?)",
                (
                    conversation,
                    digest,
                    position,
                    await _new_id(tx),
                    await _text(tx, conversation, body),
                ),
            )
        await tx.execute(
            "delete from instruction_use where conversation = ? and hash = ?",
            (conversation, _ANCIENT),
        )
    await tx.execute(
        "update conversation set instructions = ? where key = ?", (digest, conversation)
    )
    return digest


async def is_instruction(tx: aiosqlite.Connection, conversation: int, message: Message) -> bool:
    """Tell whether a system message is one that the conversation's turns began with."""
    body = message.SerializeToString(deterministic=True)
    found = await first_row(
        tx, "select 1 from instruction where conversation = ? and body = ?", (conversation, body)
    )
    return found is not None


async def drop_instructions(tx: aiosqlite.Connection, conversation: int, digest: bytes) -> None:
    """Forget what a deleted turn sent unless another sent it too.

    If it was the conversation's latest, the latest of those that are left is now.
    """
    await tx.execute(
        "update conversation set instructions = (select instructions from turn"
        " where conversation = :conversation and instructions is not null"
        " order by key desc limit 1)"
        " where key = :conversation and instructions = :digest",
        {"conversation": conversation, "digest": digest},
    )
    await tx.execute(
        "delete from instruction_use where conversation = :conversation and hash = :digest"
        " and not exists (select 1 from turn"
        " where conversation = :conversation and instructions = :digest)",
        {"conversation": conversation, "digest": digest},
    )


async def _text(tx: aiosqlite.Connection, conversation: int, body: bytes) -> int:
    """Return the number of a message that all conversations of its owner share."""
    named = {"conversation": conversation, "digest": digest_of(body)}
    await tx.execute(
        "insert or ignore into instruction_text (owner, digest, body)"
        " select owner, :digest, :body from conversation where key = :conversation",
        {**named, "body": packed_bytes(body)},
    )
    row = await first_row(
        tx,
        "select t.key from conversation as c join instruction_text as t on t.owner = c.owner"
        " where c.key = :conversation and t.digest = :digest",
        named,
    )
    assert row is not None
    return int(row["key"])


def _digest_of_all(bodies: Sequence[bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for body in bodies:
        digest.update(len(body).to_bytes(8, "big") + body)
    return digest.digest()


async def _new_id(tx: aiosqlite.Connection) -> int:
    """Draw a number that no message has or will have."""
    drawn = await tx.execute("update sqlite_sequence set seq = seq + 1 where name = 'message'")
    if not drawn.rowcount:
        await tx.execute("insert into sqlite_sequence (name, seq) values ('message', 1)")
    row = await first_row(tx, "select seq from sqlite_sequence where name = 'message'")
    assert row is not None
    return int(row["seq"])
