"""Put everything that lair keeps into one zip, while lair runs or not."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from launcher.backup.contents import FORMAT, MANIFEST, databases, plain_files
from launcher.exits import CommandFailedError
from launcher.whole_file import whole_file
from svckit.database_files import copy_database
from svckit.settings import Settings

# What is compressed already, as most of a database is, gains little from more.
_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a backup, its size in bytes and its SHA-256 in hex."""

    name: str
    bytes: int
    sha256: str


def make(settings: Settings, target: Path) -> list[Part]:
    """Write a backup to `target`, whole or not at all; return what is in it.

    Each database is as it was at one moment. Raises `CommandFailedError` where there is nothing
    to keep or it cannot be written.
    """
    if not any(path.exists() for path in databases(settings).values()):
        raise CommandFailedError(f"{settings.data_dir} holds nothing to keep; see --data-dir")
    with (
        whole_file(target) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive,
    ):
        # The journals come first: what is delivered meanwhile is then in both, and is
        # known by its id.
        parts = [_put(archive, *each) for each in _held(settings, target.parent)]
        manifest = {
            "format": FORMAT,
            "lair": version("local-ai-router"),
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": [asdict(part) for part in parts if part],
        }
        archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
    return [part for part in parts if part]


def _held(settings: Settings, near: Path) -> Iterator[tuple[str, Path]]:
    yield from plain_files(settings)
    for name, path in databases(settings).items():
        if path.exists():
            with tempfile.TemporaryDirectory(dir=near, prefix=".lair-backup-") as folder:
                copy = Path(folder) / path.name
                if fault := copy_database(path, copy):
                    raise CommandFailedError(f"{path}: cannot be copied: {fault}")
                yield name, copy


def _put(archive: zipfile.ZipFile, name: str, path: Path) -> Part | None:
    """Put a file into the archive; None if it is gone by now, as delivered journals are."""
    digest = hashlib.sha256()
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return None
    with source, archive.open(name, "w", force_zip64=True) as target:
        size = 0
        while piece := source.read(1 << 20):
            digest.update(piece)
            target.write(piece)
            size += len(piece)
    return Part(name, size, digest.hexdigest())
