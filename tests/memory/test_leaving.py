"""Callers who give up in the midst of a change leave it whole or undone."""

import asyncio
import sqlite3
import time
from collections.abc import Coroutine
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from memory_svc.kept import Everything, OneConversation
from memory_svc.storage.local.store import LocalStore, open_local_store
from tests.memory.chats import NOW_US
from tests.memory.checking import disagreements, shelf_disagreements
from tests.memory.stores import by_meaning, embed, turn, unit

LATER_US = NOW_US + 1


async def leave_at_the_commit(work: Coroutine[Any, Any, Any], path: Path) -> None:
    """Do `work` until others see what it did, and give it up before it hears of that itself."""
    task = asyncio.ensure_future(work)
    with closing(sqlite3.connect(path)) as other:
        before = messages(other)
        while messages(other) == before:
            await asyncio.sleep(0)
            # The loop stands still meanwhile, and the thread of the database does not.
            end = time.monotonic() + 0.005
            while messages(other) == before and time.monotonic() < end:
                pass
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def messages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("select count(*) from message").fetchone()[0])


async def one_message(store: LocalStore) -> tuple[int, int]:
    conversation = await store.conversation("ann", "c")
    assert conversation is not None
    [first, *_] = await store.messages(conversation.key, -1, 9, include_inactive=True)
    return conversation.key, first.id


@pytest.mark.parametrize("what", ["conversation", "turn", "message", "one", "everything"])
async def test_a_deletion_that_nobody_waits_for_is_whole(tmp_path: Path, what: str):
    path = tmp_path / "memory.db"
    async with open_local_store(path) as store:
        await store.append([turn("r1", "east", "west"), turn("r2", "north", conversation_id="d")])
        await embed(store, east=unit(1, 0), west=unit(1, 1), north=unit(0, 1))
        assert set(await by_meaning(store, unit(1, 1))) == {"east", "west", "north"}
        deletions = {
            "conversation": store.delete("ann", "c", LATER_US),
            "turn": store.delete_turn("ann", "r1", LATER_US),
            "message": store.delete_message(*await one_message(store), LATER_US),
            "one": store.forget("ann", OneConversation("c"), LATER_US),
            "everything": store.forget("ann", Everything(), LATER_US),
        }
        chosen = deletions.pop(what)
        for other in deletions.values():
            other.close()
        await leave_at_the_commit(chosen, path)
        assert disagreements(path) == []
        assert await shelf_disagreements(store) == []
