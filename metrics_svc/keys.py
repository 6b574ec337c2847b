"""The key a request is counted under: its UUID, or one made of what its caller called it.

lair's own ids are UUIDv7. A gRPC caller may send any text, `req-1` for each of its
requests even, and all the same each was answered and is counted. So the key is made
of the text, the user and the time of the request: a record that is delivered again
has the same one, and another request of the same name has another.
"""

from __future__ import annotations

import hashlib
from uuid import UUID


def key_of(request_id: str, user: str, asked_us: int) -> UUID:
    """Return the key of a request; the same for the same record, always.

    A UUID in its canonical form is the key itself, of whatever version: that ids of
    version 7 come in order makes a large database fast, not right.
    """
    return uuid_of(request_id) or _made(request_id, user, asked_us)


def uuid_of(request_id: str) -> UUID | None:
    """Return the UUID that a text is in its canonical form, in whatever case; else None."""
    try:
        named = UUID(request_id)
    except ValueError:
        return None
    return named if str(named) == request_id.lower() else None


def _made(request_id: str, user: str, asked_us: int) -> UUID:
    """Make a UUIDv7 of the time, its random bits a hash of all three."""
    named = f"{len(user)}:{user}{request_id}@{asked_us}".encode()
    digest = int.from_bytes(hashlib.blake2b(named, digest_size=10).digest())
    milliseconds = asked_us // 1000 % 2**48
    random = digest & ~(0xF << 76) & ~(0b11 << 62)
    return UUID(int=milliseconds << 80 | 7 << 76 | 0b10 << 62 | random)
