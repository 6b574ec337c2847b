"""Clear away what deletions leave in the file: dead words, empty pages, the log.

FTS5 only marks words as deleted; they are gone once its segments are merged, which takes
seconds in a large memory. So it is done in short steps between other writers. That there
is something to merge is noted with the deletion itself (in `user_version`, which nothing
else uses), so that what a killed process left is cleared away by the next.
"""

from __future__ import annotations

import asyncio
import time
from enum import IntEnum

import aiosqlite

from memory_svc.storage.local.rows import first_row
from svckit.sqlite import Database

# A step takes about a hundredth of a second.
_PAGES_A_STEP = 32
# A few empty pages are filled again soon.
_MOST_EMPTY_PAGES = 256
# Longer than a step, so that others get most of the time.
_PAUSE_SECONDS = 0.02


class _Words(IntEnum):
    """What `user_version` says of the words of deleted messages."""

    CLEAN = 0
    DEAD = 1  # some are in segments that no merge has begun with
    MERGING = 2


async def note_dead_words(tx: aiosqlite.Connection) -> None:
    """Note that words were deleted, in the transaction that did it."""
    await _note(tx, _Words.DEAD)


class Compaction:
    """Clears a database, a step at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        # A process that was killed may have left a log.
        self._log_is_empty = False

    async def clear(self, seconds: float) -> None:
        """Clear what there is, for so long at most, and empty the log."""
        end = time.monotonic() + seconds
        async with self._lock:
            while await self._step() and time.monotonic() < end:
                pass
            await self._empty_log()

    async def clear_all(self) -> None:
        """Clear everything, with pauses in which others write."""
        is_more = True
        while is_more:
            async with self._lock:
                is_more = await self._step()
            await asyncio.sleep(_PAUSE_SECONDS)
        async with self._lock:
            if not self._log_is_empty:
                await self._empty_log()

    async def _step(self) -> bool:
        """Do a little; tell whether there may be more."""
        return await self._merge() or await self._give_back()

    async def _merge(self) -> bool:
        if await self._number("user_version") == _Words.CLEAN:
            return False
        self._log_is_empty = False
        async with self._database.transaction() as tx:
            # A negative number makes one merge of all segments there are; others go on with it.
            dead = await _words(tx) is _Words.DEAD
            before = tx.total_changes
            await tx.execute(
                "insert into message_fts (message_fts, rank) values ('merge', ?)",
                (-_PAGES_A_STEP if dead else _PAGES_A_STEP,),
            )
            # One change is the command's own.
            is_done = tx.total_changes - before < 2  # noqa: PLR2004
            await _note(tx, _Words.CLEAN if is_done else _Words.MERGING)
        return True

    async def _give_back(self) -> bool:
        """Give some empty pages back to the disk; tell whether that is possible."""
        empty = await self._number("freelist_count")
        if empty <= _MOST_EMPTY_PAGES:
            return False
        self._log_is_empty = False
        await self._database.shrink(_PAGES_A_STEP)
        return await self._number("freelist_count") < empty

    async def _empty_log(self) -> None:
        await self._database.empty_log()
        self._log_is_empty = True

    async def _number(self, pragma: str) -> int:
        rows = await self._database.fetch(f"pragma {pragma}")
        return int(rows[0][0])


async def _words(tx: aiosqlite.Connection) -> _Words:
    row = await first_row(tx, "pragma user_version")
    assert row is not None
    return _Words(row[0])


async def _note(tx: aiosqlite.Connection, words: _Words) -> None:
    await tx.execute(f"pragma user_version = {words:d}")
