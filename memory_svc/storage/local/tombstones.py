"""Deleted conversations and turns, remembered for a while so that they stay deleted.

A turn is journalled when its stream ends and delivered after that, so it may come
when its conversation has been deleted meanwhile. What tells it from a turn that
begins a new conversation of the same id is when it was asked: up to the deletion,
or after it. No other mark serves: a client that sends its whole history has no
parent head, and the first turn of a conversation has nothing stored to refer to.
A deleted turn stays away whatever its time, for nothing else has its request's id.
Both times are wall clocks; where the router runs on another machine, what was asked
within the difference of the clocks may be taken for the other.
"""

from __future__ import annotations

import hashlib

import aiosqlite

from memory_svc.storage.local.rows import first_row

# Tells the digests of turns from those of conversations.
_TURN = b"turn"
# A journal delivers within seconds once memory can be reached, and it can be for
# whoever deletes; a router on another machine may be cut off for days.
KEPT_US = 7 * 86_400 * 1_000_000


async def bury(
    tx: aiosqlite.Connection, user_id: str, conversation_id: str, deleted_us: int
) -> None:
    """Note that a conversation was deleted; forget deletions longer ago than `KEPT_US`."""
    await _bury(tx, _digest(user_id, conversation_id), deleted_us)


async def bury_turn(
    tx: aiosqlite.Connection, user_id: str, request_id: str, deleted_us: int
) -> None:
    """Note that a turn was deleted, which may still be on its way."""
    await _bury(tx, _digest(user_id, request_id, kind=_TURN), deleted_us)


async def is_buried(
    tx: aiosqlite.Connection, user_id: str, conversation_id: str, asked_us: int
) -> bool:
    """Tell whether the conversation was deleted when or after this was asked."""
    return await _is_buried(tx, _digest(user_id, conversation_id), asked_us)


async def is_turn_buried(tx: aiosqlite.Connection, user_id: str, request_id: str) -> bool:
    """Tell whether a turn was deleted."""
    return await _is_buried(tx, _digest(user_id, request_id, kind=_TURN), 0)


async def _bury(tx: aiosqlite.Connection, digest: bytes, deleted_us: int) -> None:
    await tx.execute("delete from tombstone where deleted_us < ?", (deleted_us - KEPT_US,))
    await tx.execute(
        "insert into tombstone values (?, ?) on conflict (digest)"
        " do update set deleted_us = max(deleted_us, excluded.deleted_us)",
        (digest, deleted_us),
    )


async def _is_buried(tx: aiosqlite.Connection, digest: bytes, asked_us: int) -> bool:
    sql = "select 1 from tombstone where digest = ? and deleted_us >= ?"
    return await first_row(tx, sql, (digest, asked_us)) is not None


def _digest(user_id: str, name: str, kind: bytes = b"") -> bytes:
    user = hashlib.blake2b(user_id.encode(), digest_size=16).digest()
    return hashlib.blake2b(user + name.encode(), digest_size=16, person=kind).digest()
