"""Files that are there whole or not at all, and that only this user may read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from launcher.exits import CommandFailedError


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name when the block ends well.

    Raises `CommandFailedError` where it cannot be written.
    """
    if target.is_dir():
        raise CommandFailedError(f"{target}: is a folder; name a file")
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise CommandFailedError(f"{target}: cannot be written: {error.strerror}") from error
