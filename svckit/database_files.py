"""SQLite files as a whole: copied while others write, checked, and known to be in use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

# What SQLite keeps beside a database that is open.
BESIDE = ("-wal", "-shm")


def copy_database(source: Path, target: Path) -> str:
    """Copy a database as it is at one moment; return what is wrong with it, '' for nothing."""
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(target)) as copy,
        ):
            original.backup(copy)
    except sqlite3.Error as error:
        return str(error)
    return fault_in(target)


def fault_in(database: Path) -> str:
    """Return the first thing that is wrong with a database; '' if it is whole."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            found = str(connection.execute("pragma quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)
    return "" if found == "ok" else found


def is_in_use(database: Path) -> bool:
    """Tell whether a process has the database open; one that is damaged is not in use.

    SQLite changes the kind of a database's journal for nobody while another has it open.
    """
    try:
        with closing(sqlite3.connect(database, timeout=0)) as connection:
            connection.execute("pragma journal_mode = delete")
            connection.execute("pragma journal_mode = wal")
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    except sqlite3.DatabaseError:
        return False
    return False
