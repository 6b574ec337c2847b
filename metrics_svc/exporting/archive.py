"""A zip that is written while it is sent: what is told of each request once is in three files.

A zip holds one file after the other, so the later ones wait in temporary files, compressed,
until the first is complete. Memory holds one page of requests.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import IO, Any
from zoneinfo import ZoneInfo

from metrics_svc.exporting.writers import Attempts, JsonLines, Requests, Sheet
from metrics_svc.model import RequestRow

SCHEMA_VERSION = 1
_MANIFEST = "manifest.json"
_PIECE = 1 << 18
_OWNER_READS_AND_WRITES = 0o600 << 16
# Text of this kind hardly gets smaller by more, and an export should not keep a core busy.
_LEVEL = 3


class Archive:
    """`requests.jsonl`, `requests.csv`, `attempts.csv` and `manifest.json` as one zip.

    `about` is what the manifest says beside the files. Close it, whatever happens.
    """

    def __init__(self, zone: ZoneInfo, about: Mapping[str, Any], made: datetime) -> None:
        self._outlet = _Outlet()
        self._zip = zipfile.ZipFile(self._outlet, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._about = about
        self._made = made
        self._first = _Part("requests.jsonl", JsonLines(zone))
        self._waiting = (
            _Spooled(_Part("requests.csv", Requests(zone))),
            _Spooled(_Part("attempts.csv", Attempts(zone))),
        )
        self._entry: IO[bytes] | None = None

    def begin(self) -> Iterator[bytes]:
        """Yield what comes before all requests."""
        self._entry = self._open(self._first.name)
        self._entry.write(self._first.head())
        for spooled in self._waiting:
            spooled.write(spooled.part.head())
        yield self._outlet.take()

    def add(self, requests: Sequence[RequestRow]) -> Iterator[bytes]:
        """Yield what is ready to send once these requests are in all files."""
        assert self._entry is not None, "begin comes first"
        self._entry.write(self._first.add(requests))
        for spooled in self._waiting:
            spooled.write(spooled.part.add(requests))
        yield self._outlet.take()

    def end(self) -> Iterator[bytes]:
        """Yield the rest: the files that waited, the manifest, the directory."""
        assert self._entry is not None, "begin comes first"
        self._entry.close()
        for spooled in self._waiting:
            with self._open(spooled.part.name) as entry:
                for piece in spooled.pieces():
                    entry.write(piece)
                    yield self._outlet.take()
        with self._open(_MANIFEST) as entry:
            entry.write(self._manifest())
        self._zip.close()
        yield self._outlet.take()

    def close(self) -> None:
        """Remove the temporary files."""
        for spooled in self._waiting:
            spooled.close()

    def _open(self, name: str) -> IO[bytes]:
        entry = zipfile.ZipInfo(name, self._made.timetuple()[:6])
        entry.external_attr = _OWNER_READS_AND_WRITES
        entry.compress_type = zipfile.ZIP_DEFLATED
        # Nobody knows yet whether it will be larger than 4 GB.
        return self._zip.open(entry, "w", force_zip64=True)

    def _manifest(self) -> bytes:
        parts = [self._first, *(spooled.part for spooled in self._waiting)]
        told = {
            "schema": "lair.usage",
            "schema_version": SCHEMA_VERSION,
            "exported_at": self._made.isoformat(timespec="seconds"),
            **self._about,
            "files": [part.told() for part in parts],
        }
        return json.dumps(told, ensure_ascii=False, indent=2).encode()


class _Part:
    """A file of the archive, and what the manifest says of it."""

    def __init__(self, name: str, sheet: Sheet) -> None:
        self.name = name
        self._sheet = sheet
        self._size = 0
        self._digest = hashlib.sha256()

    def head(self) -> bytes:
        return self._noted(self._sheet.head())

    def add(self, requests: Sequence[RequestRow]) -> bytes:
        return self._noted(self._sheet.add(requests))

    def told(self) -> Mapping[str, Any]:
        return {
            "name": self.name,
            "rows": self._sheet.rows,
            "bytes": self._size,
            "sha256": self._digest.hexdigest(),
        }

    def _noted(self, text: bytes) -> bytes:
        self._size += len(text)
        self._digest.update(text)
        return text


class _Spooled:
    """A part that waits in a temporary file for its turn."""

    def __init__(self, part: _Part) -> None:
        self.part = part
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        self._compressed = gzip.GzipFile(fileobj=self._file, mode="wb", compresslevel=1)

    def write(self, text: bytes) -> None:
        self._compressed.write(text)

    def pieces(self) -> Iterator[bytes]:
        self._compressed.close()
        self._file.seek(0)
        with gzip.GzipFile(fileobj=self._file) as text:
            while piece := text.read(_PIECE):
                yield piece

    def close(self) -> None:
        self._compressed.close()
        self._file.close()


class _Outlet:
    """Where the zip is written to; it cannot seek, so the zip is fit for a stream."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._written.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: who sends it takes it."""

    def close(self) -> None:
        """Do nothing: a zip asks for it, and never closes what it was given."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        written, self._written = self._written, []
        return b"".join(written)
