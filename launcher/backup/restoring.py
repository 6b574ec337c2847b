"""Put a backup back where it belongs, and what is there now aside."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeAlias

from launcher.backup.contents import FORMAT, MANIFEST, databases, place, plain_files, router_folder
from launcher.backup.making import Part
from launcher.configuration import make_data_dir
from launcher.exits import CommandFailedError
from svckit.database_files import BESIDE, fault_in, is_in_use
from svckit.folders import make_private_folder
from svckit.settings import Settings

_RUNNING = "a lair uses {}; stop it first, and restore then"
# What comes of reading a file that is no zip, no backup, or not what it was.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError),
    *(AttributeError, KeyError, TypeError, ValueError),
)

Moved: TypeAlias = list[tuple[Path, Path]]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a backup held, when it was made, and where that went which was there before."""

    parts: list[Part]
    made_at: str
    aside: Path | None


def restore(settings: Settings, source: Path, *, replace: bool) -> Restored:
    """Bring back what `source` holds; nothing is touched before all of it was checked.

    What is there already goes to a folder of its own with `replace`, and is a
    `CommandFailedError` without, as are a lair that runs and a backup that is damaged.
    """
    make_data_dir(settings.data_dir)
    try:
        with tempfile.TemporaryDirectory(dir=settings.data_dir, prefix=".restoring-") as folder:
            return _restored(settings, source, Path(folder), replace=replace)
    except OSError as error:
        where = error.filename or settings.data_dir
        raise CommandFailedError(
            f"{where}: cannot be written: {error.strerror or error}"
        ) from error


def _restored(settings: Settings, source: Path, folder: Path, *, replace: bool) -> Restored:
    parts, made_at = _unpacked(settings, source, folder)
    there = list(_there(settings))
    if there and not replace:
        raise CommandFailedError(
            f"{settings.data_dir} holds a memory already ({there[0]}); with --replace it is "
            "put aside, and nothing of it is lost"
        )
    with _nobody_else(settings), _all_or_none() as moved:
        aside = _put_aside(settings, there, moved) if there else None
        for part in parts:
            target = place(settings, part.name)
            assert target  # `_unpacked` refuses others
            _move(folder / part.name, target, moved)
    return Restored(parts, made_at, aside)


def _unpacked(settings: Settings, source: Path, folder: Path) -> tuple[list[Part], str]:
    """Write the backup's files to `folder`, and check each."""
    with _reading(source):
        archive = zipfile.ZipFile(source)
    with archive:
        with _reading(source):
            manifest = json.loads(archive.read(MANIFEST))
            if manifest.get("format") != FORMAT:
                made_by = manifest.get("lair", "unknown")
                raise CommandFailedError(
                    f"{source}: is a backup of another kind, made by lair {made_by}; restore it "
                    "with that version"
                )
            parts, made_at = [Part(**part) for part in manifest["files"]], str(manifest["made_at"])
            if foreign := [part.name for part in parts if place(settings, part.name) is None]:
                raise CommandFailedError(f"{source}: holds {foreign[0]!r}, which is not lair's")
        for part in parts:
            _unpack(archive, part, folder / part.name, source)
    for name in databases(settings):
        if (copy := folder / name).exists() and (fault := fault_in(copy)):
            raise CommandFailedError(f"{source}: its {name} is damaged: {fault}")
    return parts, made_at


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Tell what is wrong with the backup where it cannot be read."""
    try:
        yield
    except OSError as error:
        raise CommandFailedError(f"{source}: cannot be read: {error.strerror or error}") from error
    except _DAMAGED as error:
        raise CommandFailedError(f"{source}: is no backup of lair, or damaged: {error}") from error


def _unpack(archive: zipfile.ZipFile, part: Part, target: Path, source: Path) -> None:
    make_private_folder(target.parent)
    digest = hashlib.sha256()
    with _reading(source):
        packed = archive.open(part.name)
    with packed, target.open("xb") as file:
        target.chmod(0o600)
        for piece in _pieces(packed, source):
            digest.update(piece)
            file.write(piece)
    if digest.hexdigest() != part.sha256:
        raise CommandFailedError(f"{source}: is damaged: {part.name} is not what was backed up")


def _pieces(packed: IO[bytes], source: Path) -> Iterator[bytes]:
    with _reading(source):
        while piece := packed.read(1 << 20):
            yield piece


def _there(settings: Settings) -> Iterator[Path]:
    """Yield what a restore would write over."""
    for path in databases(settings).values():
        beside = (path.with_name(f"{path.name}{ending}") for ending in BESIDE)
        yield from (each for each in (path, *beside) if each.exists())
    yield from (path for _, path in plain_files(settings))


@contextmanager
def _nobody_else(settings: Settings) -> Iterator[None]:
    """Be sure that no lair uses the data, and that no router begins to.

    The router is known by its journals' locks, a service by its open database.
    """
    locks = [_locked(path) for path in sorted(router_folder(settings).rglob("lock"))]
    try:
        for path in databases(settings).values():
            if path.exists() and is_in_use(path):
                raise CommandFailedError(_RUNNING.format(path))
        yield
    finally:
        for lock in locks:
            lock.close()


def _locked(path: Path) -> Any:
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise CommandFailedError(_RUNNING.format(path.parent)) from None
    return lock


def _put_aside(settings: Settings, there: list[Path], moved: Moved) -> Path:
    """Move what is there to a new folder in the data directory; return the folder."""
    now = datetime.now(UTC)
    name = f"before-restore-{now:%Y%m%dT%H%M%S}-"
    aside = Path(tempfile.mkdtemp(dir=settings.data_dir, prefix=name))
    names: Mapping[Path, str] = {path: name for name, path in databases(settings).items()}
    for path in there:
        if path.exists():  # not the database's own log, which is empty by now
            _move(path, aside / (names.get(path) or _relative(settings, path)), moved)
    return aside


@contextmanager
def _all_or_none() -> Iterator[Moved]:
    """Yield a list of what was moved where; put all of it back if the block fails."""
    moved: Moved = []
    try:
        yield moved
    except BaseException:
        for source, target in reversed(moved):
            if source.exists():  # it got to a part of a copy, on another disk
                target.unlink(missing_ok=True)
            elif target.exists():
                shutil.move(target, source)
        raise


def _move(source: Path, target: Path, moved: Moved) -> None:
    make_private_folder(target.parent)
    moved.append((source, target))
    shutil.move(source, target)


def _relative(settings: Settings, path: Path) -> str:
    if path.is_relative_to(settings.data_dir):
        return path.relative_to(settings.data_dir).as_posix()
    return path.name
