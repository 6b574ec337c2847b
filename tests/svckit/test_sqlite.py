"""One writer, read-only readers, migrations: whole or not at all."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from svckit.sqlite import Database, StorageError, open_database

NOTE = "create table note (text text not null);\n"


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "0001_note.sql").write_text(NOTE)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "service" / "service.db"


async def write(database: Database, text: str) -> None:
    async with database.transaction() as tx:
        await tx.execute("insert into note values (?)", (text,))


async def write_and_fail(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("insert into note values ('lost')")
        raise ZeroDivisionError


async def notes(database: Database) -> list[str]:
    return [row["text"] for row in await database.fetch("select text from note order by rowid")]


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("select name from sqlite_schema")}


# -- migrations ----------------------------------------------------------------


async def test_each_migration_runs_once(path: Path, migrations: Path) -> None:
    async with open_database(path, migrations) as database:
        await write(database, "kept")
    (migrations / "0002_more.sql").write_text("alter table note add column more text;\n")
    for _ in range(2):
        async with open_database(path, migrations) as database:
            assert await notes(database) == ["kept"]
            ran = await database.fetch("select name from migration order by name")
            assert [row[0] for row in ran] == ["0001_note.sql", "0002_more.sql"]


async def test_migrations_run_in_the_order_of_their_names(path: Path, migrations: Path) -> None:
    (migrations / "0003_c.sql").write_text("insert into note select max(text) || 'c' from note;")
    (migrations / "0002_b.sql").write_text("insert into note values ('b');")
    (migrations / "README.md").write_text("no script")
    async with open_database(path, migrations) as database:
        assert await notes(database) == ["b", "bc"]


async def test_a_broken_migration_leaves_nothing_of_itself(path: Path, migrations: Path) -> None:
    broken = migrations / "0002_broken.sql"
    broken.write_text("create table half (id integer);\ncreate tabel other (id integer);\n")
    with pytest.raises(StorageError, match="tabel"):
        async with open_database(path, migrations):
            pytest.fail("opened")
    assert "half" not in tables(path)
    broken.write_text("create table half (id integer);\n")
    async with open_database(path, migrations):
        assert "half" in tables(path)


async def test_a_trigger_is_one_statement_of_a_script(path: Path, migrations: Path) -> None:
    (migrations / "0002_trigger.sql").write_text(
        "-- keeps a copy; twice\n"
        "create trigger copy after insert on note when new.text = 'x' begin\n"
        "  insert into note values ('copy');\n"
        "  insert into note values ('copy');\n"
        "end;\n"
        "-- the end\n"
    )
    async with open_database(path, migrations) as database:
        await write(database, "x")
        assert await notes(database) == ["x", "copy", "copy"]


async def test_a_newer_database_is_refused_and_left_alone(path: Path, migrations: Path) -> None:
    newer = migrations / "0002_newer.sql"
    newer.write_text("create table newer (id integer);\n")
    async with open_database(path, migrations) as database:
        await write(database, "kept")
    newer.unlink()
    (migrations / "0003_other.sql").write_text("drop table note;\n")
    with pytest.raises(StorageError, match=r"0002_newer\.sql"):
        async with open_database(path, migrations):
            pytest.fail("opened")
    assert "note" in tables(path)


# -- transactions --------------------------------------------------------------


async def test_what_a_failed_transaction_wrote_is_gone(path: Path, migrations: Path) -> None:
    async with open_database(path, migrations) as database:
        with pytest.raises(ZeroDivisionError):
            await write_and_fail(database)
        await write(database, "kept")
        assert await notes(database) == ["kept"]


async def test_a_commit_that_fails_leaves_no_transaction_open(path: Path, migrations: Path) -> None:
    (migrations / "0002_late.sql").write_text(
        "create table late (id integer primary key,"
        " other integer references late deferrable initially deferred);\n"
    )
    async with open_database(path, migrations) as database:
        with pytest.raises(sqlite3.IntegrityError):
            async with database.transaction() as tx:
                await tx.execute("insert into late values (1, 99)")
        await write(database, "kept")
        assert await notes(database) == ["kept"]


async def test_a_cancelled_transaction_is_rolled_back(path: Path, migrations: Path) -> None:
    async with open_database(path, migrations) as database:
        inside = asyncio.Event()

        async def hang() -> None:
            async with database.transaction() as tx:
                await tx.execute("insert into note values ('lost')")
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(hang())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await write(database, "kept")
        assert await notes(database) == ["kept"]


async def test_cancellation_at_any_step_leaves_no_transaction_open(
    path: Path, migrations: Path
) -> None:
    async with open_database(path, migrations) as database:

        async def two() -> None:
            async with database.transaction() as tx:
                await tx.execute("insert into note values ('pair')")
                await tx.execute("insert into note values ('pair')")

        for steps in range(30):
            task = asyncio.ensure_future(two())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await write(database, "single")
        written = await notes(database)
        assert written.count("single") == 30
        assert written.count("pair") % 2 == 0


async def test_writers_of_one_process_wait_for_each_other(path: Path, migrations: Path) -> None:
    (migrations / "0002_count.sql").write_text(
        "create table tally (n integer);\ninsert into tally values (0);\n"
    )

    async def add_one(database: Database) -> None:
        async with database.transaction() as tx:
            ((n,),) = await tx.execute_fetchall("select n from tally")
            await asyncio.sleep(0)
            await tx.execute("update tally set n = ?", (n + 1,))

    async with open_database(path, migrations) as database:
        await asyncio.gather(*(add_one(database) for _ in range(50)))
        assert (await database.fetch("select n from tally"))[0]["n"] == 50


async def test_writers_of_two_processes_wait_for_each_other(path: Path, migrations: Path) -> None:
    async with open_database(path, migrations) as one, open_database(path, migrations) as two:
        await asyncio.gather(*(write(d, "x") for d in (one, two) for _ in range(20)))
        assert len(await notes(one)) == 40


# -- readers -------------------------------------------------------------------


async def test_readers_cannot_write(path: Path, migrations: Path) -> None:
    async with open_database(path, migrations) as database, database.reader() as reader:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await reader.execute("insert into note values ('no')")


async def test_readers_go_on_while_a_writer_works_and_see_the_last_commit(
    path: Path, migrations: Path
) -> None:
    async with open_database(path, migrations) as database:
        await write(database, "committed")
        async with database.transaction() as tx:
            await tx.execute("insert into note values ('not yet')")
            assert await notes(database) == ["committed"]
        assert await notes(database) == ["committed", "not yet"]


async def test_more_queries_than_readers_take_turns(path: Path, migrations: Path) -> None:
    async with open_database(path, migrations, readers=2) as database:
        await write(database, "x")
        answers = await asyncio.gather(*(notes(database) for _ in range(20)))
        assert answers == [["x"]] * 20


async def test_a_reader_whose_query_failed_is_lent_again(path: Path, migrations: Path) -> None:
    async with open_database(path, migrations, readers=1) as database:
        with pytest.raises(sqlite3.OperationalError):
            await database.fetch("select nothing from nowhere")
        assert await notes(database) == []


# -- files ---------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def content(path: Path) -> bytes:
    return path.read_bytes()


def given_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.touch(0o644)
    path.write_bytes(content)


async def test_files_and_folders_are_for_this_user_only(path: Path, migrations: Path) -> None:
    async with open_database(path, migrations) as database:
        await write(database, "x")
        files = list(path.parent.iterdir())
        assert len(files) == 3  # the database, its log, the log's index
        assert {mode(file) for file in files} == {0o600}
        assert {mode(folder) for folder in (path.parent, path.parent.parent)} == {0o700}


async def test_a_file_others_could_read_is_closed_to_them(path: Path, migrations: Path) -> None:
    given_file(path, b"")
    async with open_database(path, migrations):
        assert mode(path) == 0o600


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, migrations: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "folder" / "x.db"
    with pytest.raises(StorageError, match="Not a directory; choose another data_dir") as caught:
        async with open_database(path, migrations):
            pytest.fail("opened")
    assert str(path) in str(caught.value)


async def test_a_file_that_is_no_database_is_told_and_nothing_is_left_open(
    path: Path, migrations: Path
) -> None:
    letter = b"a letter to my aunt" * 100
    given_file(path, letter)
    before = threading.active_count()
    with pytest.raises(StorageError, match="not a database"):
        async with open_database(path, migrations):
            pytest.fail("opened")
    assert content(path) == letter
    # Each connection has a thread, and one that is left would keep the process alive.
    async with asyncio.timeout(10):
        while threading.active_count() > before:  # noqa: ASYNC110  # threads set no event when they end
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["a b.db", "what?.db", "no#1.db", "100%41.db", "ü.db"])
async def test_any_file_name_is_taken_as_it_is(tmp_path: Path, migrations: Path, name: str) -> None:
    folder = tmp_path / "data"
    async with open_database(folder / name, migrations) as database:
        await write(database, "x")
    assert {file.name for file in folder.iterdir()} == {name}


async def test_migrations_and_every_connection_have_the_functions(
    path: Path, migrations: Path
) -> None:
    (migrations / "0002_loud.sql").write_text("insert into note values (shouted('a'));\n")
    functions = {"shouted": str.upper}
    async with open_database(path, migrations, functions=functions) as database:
        assert await notes(database) == ["A"]
        rows = await database.fetch("select shouted('b') as said")
        assert rows[0]["said"] == "B"
        async with database.transaction() as tx:
            await tx.execute("insert into note values (shouted('c'))")
        assert await notes(database) == ["A", "C"]
