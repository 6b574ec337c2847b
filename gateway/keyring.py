"""The keys in force: those of the file as it is now, without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from svckit.keys import ApiKey, KeyFileError, read_keys
from svckit.logging import get_logger

log = get_logger(__name__)

_LOOK_SECONDS = 1.0


class KeyRing:
    """Knows keys by their digests, and looks once a second whether the file changed.

    It looks when it is asked, so that an old key is never taken for a moment longer, and
    reads the file on the spot: it is small, and changes when a person changes it. While
    the file cannot be read the last good keys stay in force, and `fault` says so.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the keys. Raises `KeyFileError`."""
        self.fault = ""
        self._path = path
        self._clock = clock
        self._seen = _stamp(path)
        self._by_digest = _by_digest(path)
        self._next_look = clock() + _LOOK_SECONDS

    def current(self) -> Mapping[str, ApiKey]:
        """Return the keys by their digests; empty where none are configured."""
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            self._look()
        return self._by_digest

    def _look(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._seen and not self.fault:
            return
        fault = self._read(stamp)
        if not fault:
            log.info("keys were read again", count=len(self._by_digest))
        elif fault != self.fault:
            log.error("keys cannot be read; the last ones stay in force", error=fault)
        self.fault, self._seen = fault, stamp

    def _read(self, stamp: tuple[int, ...] | None) -> str:
        """Take the keys of the file as they are; return what is wrong with it, if anything."""
        if stamp is None and self._by_digest:
            # `lair keys delete` leaves a file without keys: this is an accident.
            return f"{self._path}: is gone, or cannot be looked at"
        try:
            self._by_digest = _by_digest(self._path)
        except KeyFileError as error:
            return str(error)
        return ""


def _by_digest(path: Path) -> dict[str, ApiKey]:
    return {key.digest: key for key in read_keys(path)}


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what changes with a file; None where it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
