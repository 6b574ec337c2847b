"""Other programs' SQLite databases, read and never written, nor left with files beside them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from launcher.importing.source import UnreadableError

MAGIC = b"SQLite format 3\0"
_WAL_VERSION_AT, _WAL_VERSION = 18, 2


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading. Raises `UnreadableError`, also where reading fails later."""
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?{_mode(path)}", uri=True)
        ) as database:
            database.row_factory = sqlite3.Row
            database.text_factory = lambda data: data.decode(errors="replace")
            yield database
    except (sqlite3.Error, OSError) as error:
        raise UnreadableError(f"cannot read the database {path}: {error}") from error


def columns_of(database: sqlite3.Connection, table: str) -> set[str]:
    """Return the columns of a table; none if there is no such table."""
    return {
        row["name"] for row in database.execute("select name from pragma_table_info(?)", (table,))
    }


def is_database(path: Path) -> bool:
    """Tell whether a file is an SQLite database."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _mode(path: Path) -> str:
    """Choose how to open: a database with a log that nobody has open would get files of ours."""
    with path.open("rb") as file:
        head = file.read(_WAL_VERSION_AT + 1)
    logged = head[-1:] == bytes([_WAL_VERSION])
    in_use = Path(f"{path}-wal").exists()
    return "immutable=1" if logged and not in_use else "mode=ro"
