"""Killed at any moment, a memory holds what it said it holds, once, and nothing else.

LAIR_TEST_KILLS says how often it is killed; LAIR_TEST_SEED, in which way.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from random import Random

from memory_svc.model import Message
from memory_svc.storage.local.functions import FUNCTIONS
from memory_svc.storage.local.rows import split_message
from memory_svc.tree import ROOT, chain
from tests.memory.chats import Memories
from tests.memory.checking import disagreements
from tests.memory.killable import Killable, spoken_to, start
from tests.memory.toiling import MemoryDiedError, Toiler, alive

KILLS = int(os.environ.get("LAIR_TEST_KILLS", "12"))
SEED = int(os.environ.get("LAIR_TEST_SEED", "1"))
FAR = 10**6
OLD_MESSAGES = 40
MODELS = ("words", "other words")


async def test_nothing_is_lost_doubled_or_brought_back(tmp_path: Path):
    chance = Random(SEED)
    toilers = [Toiler(name, chance) for name in ("ann", "bob", "eve")]
    data, copy = tmp_path / "data", tmp_path / "copy"
    for kill in range(KILLS):
        # Now and then another model, so that everything is embedded anew.
        end = some_end(chance)
        running = start(data, MODELS[kill // 5 % 2], dies_at=end.at_statement)
        await use_until_killed(running, toilers, end)
        check_files(data / "memory", copy, toilers)
    running = start(data)
    port = await running.port()
    assert port
    async with spoken_to(port) as memories:
        for toiler in toilers:
            await toiler.check(memories)
            await toiler.resolve(memories)
            await toiler.check(memories)
        async with asyncio.timeout(30):
            await memories.indexed()
            while holds_any(data / "memory", toilers):  # noqa: ASYNC110  # files tell nobody
                await asyncio.sleep(0.05)
    await running.stopped()
    check_files(data / "memory", copy, toilers)
    assert only_poison_waits(data / "memory" / "memory.db")


async def test_a_migration_that_is_killed_is_done_by_the_next_start(tmp_path: Path):
    chance = Random(SEED)
    for number in (1, *(int(10 ** chance.uniform(1, 2.3)) for _ in range(4))):
        data = tmp_path / f"dies at {number}"
        old_database(data / "memory" / "memory.db")
        running = start(data, dies_at=number)
        await asyncio.wait_for(running.port(), 20)
        await running.killed()
        running = start(data)
        port = await running.port()
        assert port
        async with spoken_to(port) as memories, asyncio.timeout(20):
            assert (await memories.indexed()).indexed_count == OLD_MESSAGES
            assert len(await memories.texts("c", user_id="ann")) == OLD_MESSAGES
            assert "red x7" in await memories.found("x7", user_id="ann")
        await running.stopped()
        assert disagreements(data / "memory" / "memory.db") == []


@dataclass(frozen=True)
class End:
    """When a process is killed, or kills itself, unless it is killed before."""

    seconds_after_start: float = FAR
    seconds_in_use: float = 2.0
    at_statement: int = 0


def some_end(chance: Random) -> End:
    """Choose an end: while it starts, while it is used, or before one of its statements."""
    kind = chance.random()
    if kind < 0.15:
        return End(seconds_after_start=chance.uniform(0, 0.4))
    if kind < 0.55:
        return End(seconds_in_use=chance.uniform(0, 1))
    return End(at_statement=int(10 ** chance.uniform(1, 3.5)))


async def use_until_killed(running: Killable, toilers: list[Toiler], end: End) -> None:
    """Let all use it at once until it dies."""
    killing = asyncio.create_task(_kill_after(running, end.seconds_after_start))
    if port := await running.port():
        in_use = asyncio.create_task(_kill_after(running, end.seconds_in_use))
        async with spoken_to(port) as memories:
            deeds = [_use(toiler, memories) for toiler in toilers]
            died = await asyncio.gather(*deeds, return_exceptions=True)
        in_use.cancel()
        for error in died:
            if not isinstance(error, MemoryDiedError):
                raise error
    killing.cancel()
    await running.killed()


async def _use(toiler: Toiler, memories: Memories) -> None:
    await alive(toiler.check(memories))
    await toiler.toil(memories)


async def _kill_after(running: Killable, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await running.killed()


def check_files(folder: Path, copy: Path, toilers: list[Toiler]) -> None:
    """Check what a killed process left, in a copy: to open it would repair it."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    if folder.exists():
        shutil.copytree(folder, copy, dirs_exist_ok=True)
    if not is_migrated(copy / "memory.db"):
        assert not any(toiler.stored or toiler.gone for toiler in toilers)
        return
    assert disagreements(copy / "memory.db") == []
    with closing(sqlite3.connect(copy / "memory.db")) as connection:
        for name, function in FUNCTIONS.items():
            connection.create_function(name, 1, function)
        texts = {row[0] for row in connection.execute("select plain(text) from message")}
    for toiler in toilers:
        assert not texts & toiler.gone


def old_database(path: Path) -> None:
    """Write a database as the first lair that kept turns did."""
    path.parent.mkdir(parents=True)
    scripts = files("memory_svc.storage.local") / "sql"
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("create table migration (name text primary key, at_us integer) without rowid")
        for name in ("0001_initial.sql", "0002_tombstone.sql", "0003_turn.sql"):
            old.executescript((scripts / name).read_text())
            old.execute("insert into migration values (?, 0)", (name,))
        old.execute("insert into owner values (1, 'ann')")
        old.execute(
            "insert into conversation (key, owner, id, project, session_id, title, tags, metadata,"
            " created_us, updated_us, head) values (1, 1, 'c', '', '', '', '[]', '{}', 0, 0, ?)",
            (OLD_MESSAGES,),
        )
        said = [
            Message(role=("user", "assistant")[n % 2], text=f"red x{n}")
            for n in range(OLD_MESSAGES)
        ]
        for n, (message, path_hash) in enumerate(zip(said, chain(ROOT, said), strict=True)):
            text, body = split_message(message)
            old.execute(
                "insert into message (conversation, parent, position, hash, role, text, body,"
                " created_us, request_id, searchable) values (1, ?, ?, ?, ?, ?, ?, ?, 'r1', 1)",
                (n, n, path_hash, message.role, text, body, n),
            )


def is_migrated(path: Path) -> bool:
    """Tell whether a database ever got as far as to serve anybody."""
    scripts = list((files("memory_svc.storage.local") / "sql").iterdir())
    with closing(sqlite3.connect(path)) as connection:
        try:
            done = connection.execute("select count(*) from migration").fetchone()[0]
        except sqlite3.OperationalError:
            return False
    return done == len(scripts)


def holds_any(folder: Path, toilers: list[Toiler]) -> bool:
    """Tell whether a file still has a word of what was deleted."""
    content = b"".join(file.read_bytes() for file in folder.iterdir())
    words = [text.split()[-1].encode() for toiler in toilers for text in toiler.gone]
    return any(re.search(rb"\b" + word + rb"\b", content) for word in words)


def only_poison_waits(path: Path) -> bool:
    """Tell whether nothing waits for a vector but what cannot be embedded, given up."""
    with closing(sqlite3.connect(path)) as connection:
        waiting = connection.execute("select attempts, error from unembedded").fetchall()
    return all(row == (3, "cannot stomach poison") for row in waiting)
