"""Tell a terminal that closes from a request to reload: both send SIGHUP."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence


def terminals(descriptors: Collection[int] = (0, 1, 2)) -> tuple[int, ...]:
    """Return those of this process' descriptors that are a terminal."""
    return tuple(filter(os.isatty, descriptors))


def closed(before: Sequence[int]) -> bool:
    """Tell whether what was a terminal is none any more."""
    return bool(before) and not any(map(os.isatty, before))
