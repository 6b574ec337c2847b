"""Texts that clients choose, made fit to be stored and compared.

The same for what is counted and for what is asked, so that both meet. How many
different ones are kept is the store's business.
"""

from __future__ import annotations

import hashlib
import unicodedata
from functools import lru_cache

MAX_LENGTH = 256


@lru_cache(maxsize=8192)  # each comes with many requests
def bounded(value: str) -> str:
    """Return `value` trimmed, without control characters, hashed where it is too long.

    The hash keeps two long values apart, which cutting them would not.
    """
    text = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) == "Cc" else char
        for char in value.strip()
    )
    if len(text) <= MAX_LENGTH:
        return text
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
