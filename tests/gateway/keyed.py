"""Keys for gateways under test: made as `lair keys` makes them, in the same file."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

from svckit.keys import (
    DEFAULT_SCOPES,
    ApiKey,
    changing_keys,
    digest_of,
    keys_file,
    new_secret,
    owner_file,
    prefix_of,
)

_NUMBERS = itertools.count(1)


def make_key(**fields: Any) -> tuple[ApiKey, str]:
    """Make a key of nobody's in particular, and its secret."""
    secret, number = new_secret(), next(_NUMBERS)
    plain = ApiKey(
        id=f"id{number}",
        name=f"key{number}",
        prefix=prefix_of(secret),
        digest=digest_of(secret),
        scopes=DEFAULT_SCOPES,
        user_id="",
        project="",
        models=(),
        memory_policy="",
        priority="",
        requests_per_minute=0,
        tokens_per_day=0,
        created_us=0,
        expires_us=None,
        disabled=False,
    )
    return replace(plain, **fields), secret


def add_key(data_dir: Path, **fields: Any) -> str:
    """Add a key to a data directory; return its secret."""
    key, secret = make_key(**fields)
    with changing_keys(keys_file(data_dir)) as keys:
        keys.append(key)
    return secret


def change_keys(data_dir: Path, **fields: Any) -> None:
    """Change every key of a data directory."""
    with changing_keys(keys_file(data_dir)) as keys:
        keys[:] = [replace(key, **fields) for key in keys]


def owner_token(data_dir: Path) -> str:
    """Return what the gateway left for its owner."""
    return owner_file(data_dir).read_text()


def bearer(secret: str) -> dict[str, str]:
    """Return the headers of who shows a key."""
    return {"Authorization": f"Bearer {secret}"}
