"""What a restore does with a backup, a disk and a folder that are not as they should be."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from launcher.backup.making import make
from launcher.backup.restoring import restore
from launcher.exits import CommandFailedError, RefusedError
from svckit.settings import Settings


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of both databases and a journal."""
    kept = Settings(data_dir=tmp_path / "kept")
    for database in (kept.memory_database, kept.metrics_database):
        database.parent.mkdir(parents=True)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("create table said as select hex(randomblob(5000)) as text")
            connection.commit()
    journal = kept.data_dir / "router" / "turns" / "00000001.log"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"pending")
    target = tmp_path / "kept.zip"
    make(kept, target)
    return target


def files(folder: Path) -> dict[str, object]:
    """Return what each file holds; of databases the rows, as SQLite counts who opened them."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): content(path) for path in found}


def content(path: Path) -> object:
    if path.suffix != ".db":
        return path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("select text from said").fetchall()


def flipped(backup: Path) -> None:
    with zipfile.ZipFile(backup) as archive:
        at = archive.getinfo("memory/memory.db").header_offset
    raw = bytearray(backup.read_bytes())
    raw[at + 100 : at + 400] = bytes(each ^ 0x5A for each in raw[at + 100 : at + 400])
    backup.write_bytes(raw)


def encrypted(backup: Path) -> None:
    raw = bytearray(backup.read_bytes())
    at = -1
    while (at := raw.find(b"PK\1\2", at + 1)) >= 0:
        raw[at + 8] |= 1
    backup.write_bytes(raw)


@pytest.mark.parametrize("damage", [flipped, encrypted])
def test_a_damaged_backup_is_told(
    backup: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(backup)
    check_refused(backup, tmp_path / "new")


@pytest.mark.parametrize(
    "manifest",
    [
        *("[]", "{", '{"format": 1, "files": []}', '{"format": 1, "files": 1, "made_at": ""}'),
        '{"format": 1, "files": [{"name": 1}], "made_at": ""}',
    ],
)
def test_an_odd_manifest_is_told(backup: Path, tmp_path: Path, manifest: str) -> None:
    with zipfile.ZipFile(backup, "w") as archive:
        archive.writestr("manifest.json", manifest)
    check_refused(backup, tmp_path / "new")


def check_refused(backup: Path, folder: Path) -> None:
    with pytest.raises(CommandFailedError, match=r"kept\.zip: is no backup of lair, or damaged"):
        restore(Settings(data_dir=folder), backup, replace=False)
    assert files(folder) == {}


def test_a_folder_that_cannot_be_is_told(backup: Path) -> None:
    with pytest.raises(RefusedError, match="data directory"):
        restore(Settings(data_dir=backup), backup, replace=False)


def test_a_backup_is_no_folder(tmp_path: Path, backup: Path) -> None:
    kept = Settings(data_dir=tmp_path / "kept")
    for folder in (Path(), Path("/"), tmp_path):
        with pytest.raises(CommandFailedError, match="name a file"):
            make(kept, folder)


def test_what_is_put_aside_twice_is_there_twice(backup: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    restore(settings, backup, replace=False)
    aside = []
    for mark in ("first", "second"):
        (settings.data_dir / "router" / "mark").write_text(mark)
        aside.append(restore(settings, backup, replace=True).aside)
    marks = [(each / "router" / "mark").read_text() for each in aside if each]
    assert marks == ["first", "second"]


@pytest.mark.parametrize("fails_at", range(6))
def test_all_is_as_it_was_if_a_file_cannot_be_put_in_its_place(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """As between disks, where what was copied by then is left behind."""
    settings, calls, move = Settings(data_dir=tmp_path / "new"), iter(range(99)), shutil.move

    def moved(source: Path, target: Path) -> None:
        if next(calls) == fails_at:
            Path(target).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        move(source, target)

    restore(settings, backup, replace=False)
    with closing(sqlite3.connect(settings.memory_database)) as connection:
        connection.execute("update said set text = 'mine'")
        connection.commit()
    before = files(settings.data_dir)
    monkeypatch.setattr("launcher.backup.restoring.shutil.move", moved)
    with pytest.raises(CommandFailedError, match="No space left"):
        restore(settings, backup, replace=True)
    assert files(settings.data_dir) == before


def test_a_full_disk_is_not_the_backups_fault(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, mode: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "chmod", full)
    with pytest.raises(CommandFailedError, match="new: cannot be written: No space left"):
        restore(Settings(data_dir=tmp_path / "new"), backup, replace=False)
