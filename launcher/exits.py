"""How a command ends: readable lines and an exit code, never a traceback.

    RefusedError           lair cannot start like this; the person has to change something
    └ ChildRefusedError    a child said so itself (supervisor.py)
    CommandFailedError     a command did not get what it asked for

What the layers below raise for the same purpose is listed in `_refusals`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from svckit.config import ConfigError

EX_CONFIG = 78
FAILED = 1


class RefusedError(Exception):
    """lair cannot start like this; the message says what to change."""


class CommandFailedError(Exception):
    """A command did not get what it asked for; the message says why."""


@contextmanager
def readable() -> Iterator[None]:
    """Turn the failures a person can act on into lines on stderr and an exit code."""
    try:
        yield
    except Exception as error:
        leaves = _leaves(error)
        code = _exit_code(leaves)
        if code is None:
            raise
        for line in dict.fromkeys(line for leaf in leaves for line in str(leaf).splitlines()):
            print(f"lair: {line}", file=sys.stderr)  # noqa: T201  # the command's own output
        raise SystemExit(code) from None


def _leaves(error: BaseException) -> list[BaseException]:
    """Unfold the groups that task groups make of errors."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _exit_code(leaves: list[BaseException]) -> int | None:
    """Return the code for these errors; None if one of them is a fault of ours."""
    if all(isinstance(leaf, CommandFailedError) for leaf in leaves):
        return FAILED
    if all(isinstance(leaf, _refusals()) for leaf in leaves):
        return EX_CONFIG
    return None


def _refusals() -> tuple[type[BaseException], ...]:
    # Imported on failure only: `lair chat` and `lair status` need neither gRPC nor SQLite.
    from svckit.grpc_server import ServeError  # noqa: PLC0415
    from svckit.outbox import OutboxError  # noqa: PLC0415
    from svckit.sqlite import StorageError  # noqa: PLC0415

    return (RefusedError, ConfigError, OutboxError, ServeError, StorageError)
