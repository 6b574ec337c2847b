"""API keys: what one allows, and the file they are kept in.

`lair keys` changes the file; every gateway over the same data directory reads it again
when it changed. A key itself is shown once, where it is made, and kept as its SHA-256.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from svckit.folders import make_private_folder

SCOPES = ("chat", "embeddings", "memory", "metrics", "admin")
DEFAULT_SCOPES = frozenset(SCOPES) - {"admin"}

_VERSION = 1
_MARK = "lair_"
_SECRET_BYTES = 30  # 40 characters
_SHOWN_CHARACTERS = len(_MARK) + 4


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, and what it allows.

    `user_id` empty stands for any user: headers name the user. `models` empty stands for
    all; else models by id, by `backend/id`, or by the name that is asked for (an alias,
    `auto`). Limits of 0 are none; `expires_us` None is never. Times are microseconds
    since 1970 UTC.
    """

    id: str
    name: str
    prefix: str
    digest: str
    scopes: frozenset[str]
    user_id: str
    project: str
    models: tuple[str, ...]
    memory_policy: str
    priority: str
    requests_per_minute: int
    tokens_per_day: int
    created_us: int
    expires_us: int | None
    disabled: bool

    @property
    def limited(self) -> bool:
        """Whether the key may be used only so often."""
        return self.requests_per_minute > 0 or self.tokens_per_day > 0


class KeyFileError(Exception):
    """The file of keys cannot be used; the message names it."""


class _File(msgspec.Struct):
    version: int
    keys: msgspec.Raw


def keys_file(data_dir: Path) -> Path:
    """Return where the keys of a data directory are kept."""
    return data_dir / "gateway" / "keys.json"


def owner_file(data_dir: Path) -> Path:
    """Return where a gateway leaves the token that its machine's owner asks it with."""
    return data_dir / "gateway" / "owner"


def new_secret() -> str:
    """Make a key that nobody guesses."""
    return _MARK + secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> str:
    """Return what a key is known by, which does not tell the key."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def prefix_of(secret: str) -> str:
    """Return the part of a key that people may see, to tell it from others."""
    return secret[:_SHOWN_CHARACTERS]


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Read the keys; none where there is no file. Raises `KeyFileError`."""
    try:
        return _decoded(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise KeyFileError(f"{path}: is no file of keys: {error}") from error


@contextmanager
def changing_keys(path: Path) -> Iterator[list[ApiKey]]:
    """Yield the keys to be changed in place; they are kept unless the block raises.

    Raises `KeyFileError`. Others that change them wait meanwhile, readers never see half.
    """
    try:
        make_private_folder(path.parent)
        lock = _open_private(path.with_suffix(".lock"))
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be changed: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = list(read_keys(path))
        yield keys
        try:
            write_private(path, _encoded(keys))
        except OSError as error:
            raise KeyFileError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        os.close(lock)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file at once by one that only this user may read."""
    make_private_folder(path.parent)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = _open_private(fresh, os.O_TRUNC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)


def _open_private(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def _encoded(keys: Sequence[ApiKey]) -> bytes:
    content = msgspec.json.encode({"version": _VERSION, "keys": keys}, order="deterministic")
    return msgspec.json.format(content) + b"\n"


def _decoded(content: bytes) -> tuple[ApiKey, ...]:
    file = msgspec.json.decode(content, type=_File)
    if file.version != _VERSION:
        raise msgspec.ValidationError(
            f"its version is {file.version}, and this lair reads {_VERSION}; update lair"
        )
    return msgspec.json.decode(file.keys, type=tuple[ApiKey, ...])
