"""What a request wants to find again with its turn: a JSON object, kept as it came."""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 256 * 1024


def record_fault(record: bytes) -> str:
    """Say why `record` cannot be kept; '' if it can."""
    if len(record) > MAX_BYTES:
        return f"record_json has {len(record)} bytes; at most {MAX_BYTES} are kept"
    if _read(record) is None:
        return "record_json is not a JSON object"
    return ""


def metadata_of(record: bytes) -> dict[str, str]:
    """Return the texts in the record's `metadata`, by which it can be listed."""
    metadata = (_read(record) or {}).get("metadata")
    if not isinstance(metadata, dict):
        return {}
    return {key: value for key, value in metadata.items() if isinstance(value, str)}


def _read(record: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(record.decode(), parse_constant=_no_json)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is no JSON")
