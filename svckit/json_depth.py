"""How deep JSON may be nested: what comes from outside is walked by recursion later on.

A decoder gives up somewhere near a thousand levels, and where exactly depends on who calls it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

MAX_DEPTH = 100


def is_deep(value: object, encoded: bytes) -> bool:
    """Tell whether `value`, decoded from `encoded`, is nested deeper than `MAX_DEPTH` levels."""
    if encoded.count(b"{") + encoded.count(b"[") <= MAX_DEPTH:
        return False  # nearly all JSON, without a walk
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _containers(node)]
        if not level:
            return False
    return True


def decode_shallow(encoded: bytes) -> Any:
    """Decode JSON of a stranger; raise `msgspec.DecodeError` where it is none, or too deep."""
    try:
        value = msgspec.json.decode(encoded)
    except (RecursionError, UnicodeDecodeError) as error:
        raise msgspec.DecodeError(str(error)) from error
    if is_deep(value, encoded):
        raise msgspec.DecodeError(f"nested deeper than {MAX_DEPTH} levels")
    return value


def _containers(node: Any) -> Iterator[Any]:
    children = node.values() if isinstance(node, dict) else node
    return (child for child in children if isinstance(child, dict | list))
