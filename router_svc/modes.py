"""Gaming mode: which backends automatic choice leaves alone, and until when.

Kept in a small file in the data directory, so that it survives a restart. Work that
runs goes on, and who names the backend still reaches it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from svckit.folders import make_private_folder
from svckit.logging import get_logger
from svckit.times import now_us

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hold:
    """A backend is left alone until `until_us`, by the wall clock; None for good."""

    until_us: int | None


class Modes:
    """The holds, by backend."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._holds = _load(path)

    def held(self, backend: str) -> Hold | None:
        """Return the hold of a backend; None if it may be chosen."""
        hold = self._holds.get(backend)
        if hold and hold.until_us is not None and hold.until_us <= now_us():
            del self._holds[backend]
            self._save()
            return None
        return hold

    def hold(self, backends: Collection[str], seconds: float | None) -> None:
        """Leave `backends` alone, for `seconds` or for good."""
        until = None if seconds is None else now_us() + int(seconds * 1e6)
        self._holds.update(dict.fromkeys(backends, Hold(until)))
        self._save()

    def release(self, backends: Collection[str]) -> None:
        """Let `backends` be chosen again."""
        for name in backends:
            self._holds.pop(name, None)
        self._save()

    def _save(self) -> None:
        make_private_folder(self._path.parent)
        scratch = self._path.with_suffix(".new")
        holds = {name: hold.until_us for name, hold in self._holds.items()}
        scratch.write_text(json.dumps(holds), encoding="utf-8")
        os.replace(scratch, self._path)  # noqa: PTH105  # atomic, as Path.replace, by its own name


def _load(path: Path) -> dict[str, Hold]:
    if not path.exists():
        return {}
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(name): Hold(None if until is None else int(until)) for name, until in saved.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        log.warning(
            "gaming mode forgotten: its file cannot be read", path=str(path), error=str(error)
        )
        return {}
