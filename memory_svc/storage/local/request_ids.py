"""Request ids as their columns have them: a UUID as its 16 bytes, anything else as it is."""

from __future__ import annotations

from uuid import UUID

_LENGTH = 36


def packed_id(request_id: str) -> str | bytes:
    """Return an id as its column has it, the same for the same id."""
    if len(request_id) != _LENGTH:
        return request_id
    try:
        packed = UUID(request_id)
    except ValueError:
        return request_id
    return packed.bytes if str(packed) == request_id else request_id


def plain_id(packed: str | bytes) -> str:
    """Undo `packed_id`."""
    return str(UUID(bytes=packed)) if isinstance(packed, bytes) else packed
