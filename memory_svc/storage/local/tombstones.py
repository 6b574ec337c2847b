"""Deleted conversations, turns and more, remembered for a while so that they stay deleted.

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
from collections.abc import Iterable, Sequence

import aiosqlite

from memory_svc.storage.local.rows import first_row

# Tell the digests of other things from those of conversations.
_TURN, _PROJECT, _USER = b"turn", b"project", b"user"
# A journal delivers within seconds once memory can be reached, and it can be for
# whoever deletes; a router on another machine may be cut off for days.
KEPT_US = 7 * 86_400 * 1_000_000


async def bury(
    tx: aiosqlite.Connection, user_id: str, conversation_id: str, deleted_us: int
) -> None:
    """Note that a conversation was deleted; forget deletions longer ago than `KEPT_US`."""
    await _bury(tx, [_digest(user_id, conversation_id)], deleted_us)


async def bury_all(
    tx: aiosqlite.Connection, user_id: str, conversation_ids: Iterable[str], deleted_us: int
) -> None:
    """Note that conversations were deleted."""
    await _bury(tx, [_digest(user_id, each) for each in conversation_ids], deleted_us)


async def bury_turn(
    tx: aiosqlite.Connection, user_id: str, request_id: str, deleted_us: int
) -> None:
    """Note that a turn was deleted, which may still be on its way."""
    await _bury(tx, [_digest(user_id, request_id, kind=_TURN)], deleted_us)


async def bury_project(
    tx: aiosqlite.Connection, user_id: str, project: str, deleted_us: int
) -> None:
    """Note that all of a project was deleted, of which turns may still be on their way."""
    await _bury(tx, [_digest(user_id, project, kind=_PROJECT)], deleted_us)


async def bury_user(tx: aiosqlite.Connection, user_id: str, deleted_us: int) -> None:
    """Note that all that was kept of a user was deleted; the same goes for them."""
    await _bury(tx, [_digest(user_id, "", kind=_USER)], deleted_us)


async def is_buried(
    tx: aiosqlite.Connection, user_id: str, conversation_id: str, project: str, asked_us: int
) -> bool:
    """Tell whether what this belongs to was deleted when or after it was asked.

    That is its conversation, its project if it has one, or all of its user's.
    """
    digests = [_digest(user_id, conversation_id), _digest(user_id, "", kind=_USER)]
    if project:
        digests.append(_digest(user_id, project, kind=_PROJECT))
    return await _is_buried(tx, digests, asked_us)


async def is_turn_buried(tx: aiosqlite.Connection, user_id: str, request_id: str) -> bool:
    """Tell whether a turn was deleted."""
    return await _is_buried(tx, [_digest(user_id, request_id, kind=_TURN)], 0)


async def _bury(tx: aiosqlite.Connection, digests: Iterable[bytes], deleted_us: int) -> None:
    await tx.execute("delete from tombstone where deleted_us < ?", (deleted_us - KEPT_US,))
    await tx.executemany(
        "insert into tombstone values (?, ?) on conflict (digest)"
        " do update set deleted_us = max(deleted_us, excluded.deleted_us)",
        [(digest, deleted_us) for digest in digests],
    )


async def _is_buried(tx: aiosqlite.Connection, digests: Sequence[bytes], asked_us: int) -> bool:
    any_of = ", ".join("?" * len(digests))
    sql = f"select 1 from tombstone where digest in ({any_of}) and deleted_us >= ?"  # noqa: S608
    return await first_row(tx, sql, (*digests, asked_us)) is not None


def _digest(user_id: str, name: str, kind: bytes = b"") -> bytes:
    user = hashlib.blake2b(user_id.encode(), digest_size=16).digest()
    return hashlib.blake2b(user + name.encode(), digest_size=16, person=kind).digest()
