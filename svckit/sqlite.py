"""SQLite under asyncio: one writer, read-only readers, migrations.

Each connection has a thread of its own (aiosqlite), so no statement runs on the
event loop. WAL mode lets readers go on while the writer commits.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import quote

import aiosqlite

from svckit.folders import make_private_folder
from svckit.telemetry import DB_BYTES
from svckit.times import now_us

_WRITER_PRAGMAS = """
pragma auto_vacuum = incremental;
pragma journal_mode = wal;
pragma synchronous = normal;
pragma foreign_keys = on;
pragma busy_timeout = 5000;
pragma secure_delete = on;
pragma temp_store = memory;
"""
_READER_PRAGMAS = "pragma query_only = on; pragma busy_timeout = 5000;"


# Of one value, and always the same of the same.
Function: TypeAlias = Callable[[Any], Any]


class StorageError(Exception):
    """A database cannot be opened; the message says why and what to do."""


class Database:
    """One SQLite file: `transaction()` to write, `reader()` to read.

    Writers wait for each other; each reader works on its own connection and sees
    the last commit. Made by `open_database`.
    """

    def __init__(self, writer: aiosqlite.Connection, readers: list[aiosqlite.Connection]) -> None:
        self._writer = writer
        self._lock = asyncio.Lock()
        # How many transactions ended: who has read since the last one has read all there is.
        self.transaction_count = 0
        self._all = readers
        self._free: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        for reader in readers:
            self._free.put_nowait(reader)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """Begin an immediate transaction; commit at the end, roll back on an exception."""
        async with self._lock:
            try:
                await self._writer.execute("begin immediate")
                yield self._writer
                await asyncio.shield(self._writer.execute("commit"))
            except BaseException:
                # Also on cancellation, even of `begin`, which its thread still runs, and
                # on a commit that fails: the next writer must find no transaction open.
                await asyncio.shield(self._writer.rollback())
                raise
            finally:
                self.transaction_count += 1

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[aiosqlite.Connection]:
        """Lend a connection that cannot write."""
        connection = await self._free.get()
        try:
            yield connection
        finally:
            self._free.put_nowait(connection)

    async def fetch(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[sqlite3.Row]:
        """Return all rows of one query."""
        async with self.reader() as connection:
            return list(await connection.execute_fetchall(sql, parameters))

    async def empty_log(self) -> None:
        """Move the write-ahead log into the file and empty it.

        The log holds pages as they were before; after a deletion they must go too.
        """
        async with self._lock:
            await self._writer.execute_fetchall("pragma wal_checkpoint(truncate)")

    async def shrink(self, pages: int) -> None:
        """Give at most so many of the file's empty pages back to the disk."""
        async with self._lock:
            # It works while it is stepped through, which only a script is to its end.
            await self._writer.executescript(f"pragma incremental_vacuum({pages})")

    async def give_back(self, pages: int) -> bool:
        """Return some free pages to the file system; tell whether there are more."""
        async with self._lock:
            ((before,),) = await self._writer.execute_fetchall("pragma freelist_count")
            # Only a script steps to the end of this statement, which frees a page a step.
            await self._writer.executescript(f"pragma incremental_vacuum({pages:d})")
            ((after,),) = await self._writer.execute_fetchall("pragma freelist_count")
        return 0 < int(after) < int(before)

    async def close(self) -> None:
        """Close every connection; wait for the write that is under way."""
        async with self._lock:
            await self._writer.execute("pragma optimize")
            for connection in (*self._all, self._writer):
                await connection.close()


def _prepare(path: Path) -> None:
    """Make the file and its folder, for this user only."""
    try:
        make_private_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.close(descriptor)
        path.chmod(0o600)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}; choose another data_dir in lair.toml or with "
            "--data-dir, or give this user the right to write there"
        ) from error


async def _connect(
    uri: str, pragmas: str, functions: Mapping[str, Function]
) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(uri, uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        await connection.executescript(pragmas)
        for name, function in functions.items():
            await connection.create_function(name, 1, function, deterministic=True)
    except BaseException:
        await connection.close()  # its thread would keep the process from ending
        raise
    return connection


async def _migrate(database: Database, migrations: Iterable[Traversable]) -> None:
    """Run each `NNNN_name.sql` that has not run, with its record, in one transaction."""
    scripts = sorted((m for m in migrations if m.name.endswith(".sql")), key=lambda m: m.name)
    async with database.transaction() as tx:
        await tx.execute(
            "create table if not exists migration"
            " (name text primary key, at_us integer not null) without rowid"
        )
        done = {row[0] for row in await tx.execute_fetchall("select name from migration")}
    if unknown := done - {script.name for script in scripts}:
        raise StorageError(
            f"the database was written by a newer lair (it has {', '.join(sorted(unknown))}); "
            "install that version, or choose another data_dir"
        )
    for script in scripts:
        if script.name in done:
            continue
        async with database.transaction() as tx:
            for statement in _statements(script.read_text(encoding="utf-8")):
                await tx.execute(statement)
            await tx.execute("insert into migration values (?, ?)", (script.name, now_us()))


def _statements(script: str) -> list[str]:
    """Split a script at the semicolons that end a statement (triggers hold others)."""
    statements, current = [], ""
    for line in script.splitlines():
        current += line + "\n"
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    if current.strip():
        statements.append(current)
    return statements


@asynccontextmanager
async def open_database(
    path: Path,
    migrations: Traversable,
    *,
    readers: int = 2,
    functions: Mapping[str, Function] = MappingProxyType({}),
) -> AsyncIterator[Database]:
    """Open `path`, bring its schema up to date, and close it at the end.

    `migrations` is a folder of `NNNN_name.sql` files. All SQL may call the `functions`, by
    these names. Raises `StorageError`.
    """
    _prepare(path)
    try:
        database = await _open(path, migrations, readers, functions)
    except (sqlite3.Error, StorageError) as error:
        raise StorageError(f"{path}: {error}") from error
    DB_BYTES.labels(path.stem).set_function(partial(_bytes_of, path))
    try:
        yield database
    finally:
        DB_BYTES.remove(path.stem)
        await database.close()


def _bytes_of(path: Path) -> int:
    """Return the size of a database with its log; 0 where somebody took it away."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


async def _open(
    path: Path, migrations: Traversable, readers: int, functions: Mapping[str, Function]
) -> Database:
    uri = f"file:{quote(str(path))}"
    opened: list[aiosqlite.Connection] = []
    try:
        opened.append(await _connect(uri, _WRITER_PRAGMAS, functions))
        await _migrate(Database(opened[0], []), migrations.iterdir())
        while len(opened) <= readers:
            opened.append(await _connect(f"{uri}?mode=ro", _READER_PRAGMAS, functions))
    except BaseException:
        for connection in opened:
            await connection.close()
        raise
    return Database(opened[0], opened[1:])
