"""A database that an earlier lair wrote is brought up to date without a loss."""

import sqlite3
from importlib.resources import files
from pathlib import Path

import pytest

from memory_svc.model import Fate, TurnFilter
from memory_svc.storage.local.rows import split_message
from memory_svc.storage.local.store import open_local_store
from memory_svc.tree import ROOT, chain
from svckit.sqlite import StorageError
from tests.memory.chats import NOW_US, assistant, system, user
from tests.memory.stores import by_words, turn

SAID = [user("my dog is Rex"), assistant("nice")]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give a database as it was before turns could be found again."""
    path = tmp_path / "memory.db"
    scripts = files("memory_svc.storage.local") / "sql"
    with sqlite3.connect(path) as old:
        old.execute("create table migration (name text primary key, at_us integer) without rowid")
        for name in ("0001_initial.sql", "0002_tombstone.sql"):
            old.executescript((scripts / name).read_text())
            old.execute("insert into migration values (?, 0)", (name,))
        old.execute("insert into owner values (1, 'ann')")
        old.execute(
            "insert into conversation values (1, 1, 'c', '', '', 'my dog is Rex', '[]', '{}',"
            " ?, ?, 2, 9)",
            (NOW_US, NOW_US),
        )
        told = system("be brief").SerializeToString()
        old.execute("insert into system_message values (1, 0, ?)", (told,))
        for n, (said, path_hash) in enumerate(zip(SAID, chain(ROOT, SAID), strict=True)):
            text, body = split_message(said)
            old.execute(
                "insert into message (conversation, parent, position, hash, role, text, body,"
                " created_us, request_id, searchable) values (1, ?, ?, ?, ?, ?, ?, ?, 'r1', 1)",
                (n, n, path_hash, said.role, text, body, NOW_US),
            )
            old.execute(
                "insert into message_fts (rowid, owner, text) values (?, 'u1', ?)", (n + 1, text)
            )
        old.execute("insert into turn values (1, 'r1', ?)", (NOW_US,))
        old.execute("insert into tombstone values (x'00', ?)", (NOW_US,))
    old.close()
    return path


async def test_what_was_said_is_all_there(database: Path):
    async with open_local_store(database) as store:
        path = await store.active_path("ann", "c")
        assert path is not None
        assert [node.message for node in path.nodes] == SAID
        assert path.system == (system("be brief"),)
        assert await by_words(store, "dog") == {"my dog is Rex": 1}
        assert await store.append([turn("r1", "again")]) == [Fate.DUPLICATE]


async def test_of_the_requests_from_then_nothing_more_is_known(database: Path):
    async with open_local_store(database) as store:
        assert await store.turn("ann", "r1") is None
        assert await store.path_after("ann", "c", "r1") is None
        assert await store.turns(TurnFilter("ann"), None, 9) == ([], False)
        assert await store.delete_turn("ann", "r1", NOW_US) is None


async def test_what_those_requests_said_outlives_a_later_one(database: Path):
    async with open_local_store(database) as store:
        again = (system("be long"), *SAID, user("more"))
        await store.append([turn("r2", messages=again, reply=assistant("fine"))])
        path = await store.active_path("ann", "c")
        assert path is not None
        assert path.system == (system("be long"),)
        assert await store.delete_turn("ann", "r2", NOW_US) == 2
        path = await store.active_path("ann", "c")
        assert path is not None
        assert [node.message for node in path.nodes] == SAID
        conversation = await store.conversation("ann", "c")
        assert conversation is not None
        assert (conversation.message_count, conversation.token_count) == (2, 9)


async def test_a_migration_that_fails_changes_nothing(database: Path):
    with sqlite3.connect(database) as old:
        old.execute("create table instruction (x)")
    old.close()
    with pytest.raises(StorageError, match="instruction"):
        async with open_local_store(database):
            pass
    with sqlite3.connect(database) as old:
        assert old.execute("select count(*) from system_message").fetchone() == (1,)
        assert old.execute("select count(*) from turn").fetchone() == (1,)
        old.execute("drop table instruction")
    old.close()
    async with open_local_store(database) as store:
        assert await by_words(store, "dog") == {"my dog is Rex": 1}
