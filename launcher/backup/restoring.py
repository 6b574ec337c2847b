"""Put a backup back where it belongs, and what is there now aside."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from launcher.backup.contents import FORMAT, MANIFEST, databases, place, plain_files, router_folder
from launcher.backup.making import Part
from launcher.exits import CommandFailedError
from svckit.database_files import BESIDE, fault_in, is_in_use
from svckit.folders import make_private_folder
from svckit.settings import Settings

_RUNNING = "a lair uses {}; stop it first, and restore then"


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
    make_private_folder(settings.data_dir)
    with tempfile.TemporaryDirectory(dir=settings.data_dir, prefix=".restoring-") as folder:
        parts, made_at = _unpacked(settings, source, Path(folder))
        there = list(_there(settings))
        if there and not replace:
            raise CommandFailedError(
                f"{settings.data_dir} holds a memory already ({there[0]}); with --replace it is "
                "put aside, and nothing of it is lost"
            )
        with _nobody_else(settings):
            aside = _put_aside(settings, there) if there else None
            for part in parts:
                target = place(settings, part.name)
                assert target  # `_unpacked` refuses others
                make_private_folder(target.parent)
                shutil.move(Path(folder, part.name), target)
    return Restored(parts, made_at, aside)


def _unpacked(settings: Settings, source: Path, folder: Path) -> tuple[list[Part], str]:
    """Write the backup's files to `folder`, and check each."""
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = json.loads(archive.read(MANIFEST))
            if manifest.get("format") != FORMAT:
                made_by = manifest.get("lair", "unknown")
                raise CommandFailedError(
                    f"{source}: is a backup of another kind, made by lair {made_by}; restore it "
                    "with that version"
                )
            parts = [Part(**part) for part in manifest["files"]]
            for part in parts:
                if place(settings, part.name) is None:
                    raise CommandFailedError(f"{source}: holds {part.name!r}, which is not lair's")
                _unpack(archive, part, folder / part.name, source)
    except OSError as error:
        raise CommandFailedError(f"{source}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise CommandFailedError(f"{source}: is no backup of lair, or damaged: {error}") from error
    for name in databases(settings):
        if (copy := folder / name).exists() and (fault := fault_in(copy)):
            raise CommandFailedError(f"{source}: its {name} is damaged: {fault}")
    return parts, str(manifest["made_at"])


def _unpack(archive: zipfile.ZipFile, part: Part, target: Path, source: Path) -> None:
    make_private_folder(target.parent)
    digest = hashlib.sha256()
    with archive.open(part.name) as packed, target.open("xb") as file:
        target.chmod(0o600)
        while piece := packed.read(1 << 20):
            digest.update(piece)
            file.write(piece)
    if digest.hexdigest() != part.sha256:
        raise CommandFailedError(f"{source}: is damaged: {part.name} is not what was backed up")


def _there(settings: Settings) -> Iterator[Path]:
    """Yield what a restore would write over."""
    for path in databases(settings).values():
        beside = (path.with_name(f"{path.name}{ending}") for ending in BESIDE)
        yield from (each for each in (path, *beside) if each.exists())
    yield from (path for _, path in plain_files(settings))


@contextmanager
def _nobody_else(settings: Settings) -> Iterator[None]:
    """Be sure that no lair uses the data, and that none begins to.

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


def _put_aside(settings: Settings, there: list[Path]) -> Path:
    """Move what is there to a new folder in the data directory; return the folder."""
    now = datetime.now(UTC)
    aside = settings.data_dir / f"before-restore-{now:%Y%m%dT%H%M%S}"
    names: Mapping[Path, str] = {path: name for name, path in databases(settings).items()}
    for path in there:
        if not path.exists():
            continue  # the database's own log, which is empty by now
        name = names.get(path) or _relative(settings, path)
        target = aside / name
        make_private_folder(target.parent)
        shutil.move(path, target)
    return aside


def _relative(settings: Settings, path: Path) -> str:
    if path.is_relative_to(settings.data_dir):
        return path.relative_to(settings.data_dir).as_posix()
    return path.name
