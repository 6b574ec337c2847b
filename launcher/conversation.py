"""Remember which conversation `lair chat` had last, in the data directory."""

from __future__ import annotations

import os
from pathlib import Path

from launcher.configuration import make_data_dir
from launcher.exits import CommandFailedError

_FILE = "last-conversation"


def last(data_dir: Path) -> str:
    """Return the id of the last conversation."""
    path = data_dir / _FILE
    try:
        found = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        found = ""
    except OSError as error:
        raise CommandFailedError(f"{path}: cannot be read: {error.strerror}") from error
    if not found:
        raise CommandFailedError(
            "there is no last conversation to continue; leave -c out to begin one"
        )
    return found


def remember(data_dir: Path, conversation_id: str) -> None:
    """Make this conversation the last one. Only this user may read the file."""
    make_data_dir(data_dir)
    path = data_dir / _FILE
    fresh = path.with_name(f"{_FILE}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{conversation_id}\n")
    fresh.replace(path)
