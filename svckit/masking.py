"""What must not be shown of a text: user names and passwords in its URLs, and given keys."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")

# Shorter keys are words like `ollama` or `not-needed`, which stand for none.
_LEAST_CHARACTERS = 16


def masked(text: str) -> str:
    """Return `text` with `***` for what stands before the `@` of each URL in it."""
    return _CREDENTIALS.sub("***@", text) if "@" in text else text


def without(payload: bytes, key: str) -> bytes:
    """Return `payload` with `***` for `key`, which a server may quote as it refuses it."""
    return payload.replace(key.encode(), b"***") if len(key) >= _LEAST_CHARACTERS else payload
