"""What must not be shown of a text: user names and passwords in the URLs it holds."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


def masked(text: str) -> str:
    """Return `text` with `***` for what stands before the `@` of each URL in it."""
    return _CREDENTIALS.sub("***@", text) if "@" in text else text
