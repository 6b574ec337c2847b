"""`lair stats export`: counted requests, from lair to a file as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from launcher.addresses import base_url
from launcher.ask import Reply, UnreachableError, not_running, require_ok
from launcher.exits import CommandFailedError
from launcher.stats.period import Period
from launcher.stats.rest import Usage
from launcher.whole_file import whole_file

_PIECE = 1 << 16


def export(usage: Usage, period: Period, target: Path | None, form: str) -> None:
    """Write counted requests to a file, or to standard output; say on stderr how much."""
    if target is None and form == "zip" and sys.stdout.isatty():
        raise CommandFailedError("a zip is nothing for a terminal; say where to: -o usage.zip")
    base = base_url(usage.settings)
    try:
        reply = usage.export(period, form)
    except UnreachableError as error:
        raise not_running(base) from error
    require_ok(reply, base)
    with reply.body, _opened(target) as file:
        written = 0
        for piece in _pieces(reply, base):
            file.write(piece)
            written += len(piece)
    where = f" to {target}" if target else ""
    print(f"exported {written:,} bytes{where}", file=sys.stderr)  # noqa: T201  # its own words


def _pieces(reply: Reply, base: str) -> Iterator[bytes]:
    """Yield the body; an end that came too early is an error and no file."""
    try:
        while piece := reply.body.read(_PIECE):
            yield piece
    except (OSError, HTTPException) as error:
        raise CommandFailedError(f"{base}: the export broke off: {error}") from error


@contextmanager
def _opened(target: Path | None) -> Iterator[BinaryIO]:
    if target is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with whole_file(target) as file:
        yield file
