"""Files to read from, with a count of how far reading is, and the records in them.

Nothing here holds more than one record at a time.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import ijson

from launcher.importing.conversation import Malformed

# What large exports are cut into: conversations-000.json and so on.
_CONVERSATIONS = re.compile(r"(?:^|/)conversations(?:-\d+)?\.json$", re.IGNORECASE)
_BUFFER_BYTES = 256 * 1024
_BOM = b"\xef\xbb\xbf"
_LONGEST_LINE = 64 * 1024 * 1024  # bytes


_BROKEN = (ijson.JSONError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, EOFError, OSError)


class UnreadableError(Exception):
    """A file cannot be read at all; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or one inside a zip: its name for people, its size, and how to open it."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


class Meter:
    """How many bytes were read of how many; `moved` is called as they are."""

    def __init__(self, moved: Callable[[int], None] = lambda _: None) -> None:
        self._moved = moved

    @contextmanager
    def reading(self, part: Part) -> Iterator[io.BufferedReader]:
        """Open a part; what is read of it counts. Raises `UnreadableError`."""
        with ExitStack() as stack:
            try:
                raw = stack.enter_context(part.open())
            # A zip may also ask for a password or a method that is not there.
            except (OSError, RuntimeError, zipfile.BadZipFile) as error:
                raise UnreadableError(f"cannot read {part.name}: {error}") from error
            yield stack.enter_context(
                io.BufferedReader(_Counted(raw, self._moved), _BUFFER_BYTES),
            )

    def advance(self, count: int) -> None:
        """Count bytes that were read by other means."""
        self._moved(count)


@dataclass(frozen=True, slots=True)
class Source:
    """What a format reads: a file or folder, whose chats of it, and who counts.

    `person` is an e-mail address or id in a source of several people; '' for the only one.
    """

    path: Path
    meter: Meter
    person: str = ""


class _Counted(io.RawIOBase):
    """A stream that tells how much was read of it."""

    def __init__(self, raw: BinaryIO, moved: Callable[[int], None]) -> None:
        self._raw = raw
        self._moved = moved

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self._moved(len(data))
        return len(data)


def file_part(path: Path, root: Path | None = None) -> Part:
    """Return a file as a part, named as it stands under `root`."""
    size = path.stat().st_size
    name = path.relative_to(root).as_posix() if root else path.name
    return Part(name, size, lambda: path.open("rb"))


def conversation_parts(path: Path) -> list[Part]:
    """Return the conversations of an export: a JSON file, a zip or a folder that holds some.

    Raises `UnreadableError`.
    """
    if path.is_dir():
        found = sorted(each for each in path.rglob("*.json") if _CONVERSATIONS.search(each.name))
        parts = [file_part(each, path) for each in found]
    elif zipfile.is_zipfile(path):
        parts = _zipped(path)
    else:
        return [file_part(path)]
    if not parts:
        raise UnreadableError(f"{path} has no conversations.json in it")
    return parts


def _zipped(path: Path) -> list[Part]:
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise UnreadableError(f"cannot read {path}: {error}") from error
    members = [
        member
        for member in listed
        if _CONVERSATIONS.search(member.filename) and not member.filename.startswith("__MACOSX")
    ]

    def opener(member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
        return lambda: cast("BinaryIO", zipfile.ZipFile(path).open(member))

    return [
        Part(f"{path.name}/{member.filename}", member.file_size, opener(member))
        for member in sorted(members, key=lambda member: member.filename)
    ]


def json_records(part: Part, meter: Meter) -> Iterator[tuple[str, Any] | Malformed]:
    """Yield the entries of a JSON list with their places; a lone object is a list of one.

    Where the file is no JSON from some place on, that is the last thing to be told.
    """
    number = 0
    try:
        with meter.reading(part) as stream:
            for number, record in enumerate(_entries(stream), 1):
                yield f"{part.name}, record {number}", record
    except UnreadableError as error:
        yield Malformed(part.name, str(error))
    except _BROKEN as error:
        where = f"{part.name}, after record {number}"
        yield Malformed(where, f"the rest is no JSON: {_first_line(error)}")


def _entries(stream: io.BufferedReader) -> Iterator[Any]:
    if stream.peek(len(_BOM)).startswith(_BOM):
        stream.read(len(_BOM))
    begins = stream.peek(_BUFFER_BYTES).lstrip()[:1]
    yield from ijson.items(stream, "item" if begins == b"[" else "", use_float=True)


def _first_line(error: Exception) -> str:
    """Return what a parser says, without the picture it draws of the place."""
    said = error.args[0] if error.args else ""
    said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return said.partition("\n")[0].strip() or type(error).__name__


def json_lines(part: Part, meter: Meter) -> Iterator[tuple[str, Any] | Malformed]:
    """Yield the JSON object of each line with its place; blank lines are none."""
    try:
        with meter.reading(part) as stream:
            for number, line in enumerate(_lines(stream), 1):
                if line.strip():
                    yield _parsed(f"{part.name}, line {number}", line)
    except (UnreadableError, OSError) as error:
        yield Malformed(part.name, str(error))


def _parsed(where: str, line: bytes) -> tuple[str, Any] | Malformed:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Malformed(where, _why(line, error))
    if not isinstance(record, dict):
        return Malformed(where, "the line is no JSON object")
    return where, record


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long for memory only its beginning, as a line."""
    while line := stream.readline(_LONGEST_LINE):
        yield line
        while len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            line = stream.readline(_LONGEST_LINE)


def _why(line: bytes, error: Exception) -> str:
    if len(line) >= _LONGEST_LINE:
        return f"the line is longer than {_LONGEST_LINE // 1024**2} MiB"
    return f"the line is no JSON: {error}"


def head_of(parts: Sequence[Part], count: int = 64 * 1024) -> bytes:
    """Return the first bytes of the first part. Raises `UnreadableError`."""
    with Meter().reading(parts[0]) as stream:
        return stream.read(count)
