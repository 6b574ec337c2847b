"""What deletions leave in the files is cleared away, without keeping anybody waiting."""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from memory_svc.kept import Everything
from memory_svc.model import Turn
from memory_svc.storage.local import compaction
from memory_svc.storage.local import store as local
from memory_svc.storage.local.store import LocalStore, open_local_store
from tests.memory.chats import NOW_US, running, user
from tests.memory.checking import disagreements
from tests.memory.stores import by_words, turn

LATER_US = NOW_US + 1
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the work of a small memory into as many steps as that of a large one."""
    monkeypatch.setattr(compaction, "_PAGES_A_STEP", 1)
    monkeypatch.setattr(local, "_CLEARING_SECONDS", 0.0)


async def fill(store: LocalStore, turns: int) -> None:
    """Store turns of words that are said once, each in a transaction of its own."""
    chance = random.Random(1)
    for n in range(turns):
        words = " ".join("".join(chance.choices(LETTERS, k=9)) for _ in range(100))
        await store.append([Turn(f"f{n}", "ann", f"f{n}", (user(words),), NOW_US)])


def holds(folder: Path, part: bytes) -> bool:
    return any(part in file.read_bytes() for file in folder.iterdir())


@pytest.mark.usefixtures("small_steps")
async def test_what_a_deletion_leaves_is_cleared_later(tmp_path: Path):
    async with open_local_store(tmp_path / "m.db") as store:
        await fill(store, 20)
        await store.append([turn("r1", "xylophone")])
        await fill_again(store)
        await store.delete("ann", "c", LATER_US)
        assert holds(tmp_path, b"xylophon")
        assert await by_words(store, "xylophone") == {}
        await store.tidy()
        assert not holds(tmp_path, b"xylophon")
    assert disagreements(tmp_path / "m.db") == []


async def fill_again(store: LocalStore) -> None:
    await store.append([turn(f"g{n}", f"other {n}", conversation_id="d") for n in range(20)])


@pytest.mark.usefixtures("small_steps")
async def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path: Path):
    memory = tmp_path / "memory"
    async with open_local_store(memory / "memory.db") as store:
        await fill(store, 20)
        await store.append([turn("r1", "xylophone")])
        await fill_again(store)
        await store.delete("ann", "c", LATER_US)
    assert holds(memory, b"xylophon")
    async with running(tmp_path), asyncio.timeout(20):
        while holds(memory, b"xylophon"):  # noqa: ASYNC110  # files tell nobody
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("small_steps")
async def test_words_of_a_correction_that_is_taken_back_are_cleared(tmp_path: Path):
    async with open_local_store(tmp_path / "m.db") as store:
        await store.append([turn("r1", "my sister is Anna")])
        conversation = await store.conversation("ann", "c")
        assert conversation is not None
        [said] = await store.messages(conversation.key, -1, 9, include_inactive=False)
        await store.correct("ann", said.id, "my sister plays the xylophone")
        await store.correct("ann", said.id, "")
        await store.tidy()
        assert not holds(tmp_path, b"xylophon")
        assert await by_words(store, "sister") == {"my sister is Anna": 1}


@pytest.mark.usefixtures("small_steps")
async def test_others_write_while_it_is_cleared(tmp_path: Path):
    async with open_local_store(tmp_path / "m.db") as store:
        await fill(store, 60)
        await store.delete("ann", "f30", LATER_US)
        tidying = asyncio.create_task(store.tidy())
        for n in range(5):
            await store.append([turn(f"r{n}", f"east {n}")])
        assert not tidying.done()
        await tidying
    assert disagreements(tmp_path / "m.db") == []


async def test_the_file_shrinks_when_a_user_is_forgotten(tmp_path: Path):
    path = tmp_path / "m.db"
    async with open_local_store(path) as store:
        await store.append([turn("r1", "east", user_id="bob")])
        await fill(store, 1000)
        assert path.stat().st_size > 3_000_000
        await store.forget("ann", Everything(), LATER_US)
        await store.tidy()
        assert path.stat().st_size < 1_500_000
        assert await by_words(store, "east", user_id="bob") == {"east": 1}
    assert disagreements(path) == []


async def test_where_nothing_was_deleted_nothing_is_written(tmp_path: Path):
    path = tmp_path / "m.db"
    async with open_local_store(path) as store:
        await fill(store, 5)
        await store.tidy()
        with closing(sqlite3.connect(path)) as other:
            before = other.execute("pragma data_version").fetchone()
            await store.tidy()
            assert other.execute("pragma data_version").fetchone() == before
