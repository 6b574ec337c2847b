"""The functions that SQL has here beside SQLite's own; views and migrations call them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType

from memory_svc.model import Message
from memory_svc.speech import parts
from memory_svc.storage.local.compressing import packed_bytes, packed_text, plain_bytes, plain_text
from memory_svc.storage.local.compressing import text_size as size_of_text
from memory_svc.storage.local.request_ids import packed_id
from memory_svc.storage.local.rows import split_message
from memory_svc.words import findable
from svckit.sqlite import Function


def digest_of(body: bytes) -> bytes:
    """Return what tells bytes from others."""
    return hashlib.blake2b(body, digest_size=16).digest()


def _body_without_text(body: bytes) -> bytes:
    """Return the body of a message that was kept whole, as it is kept now."""
    message = Message.FromString(body)
    return split_message(message)[1] if message.HasField("parts") else packed_bytes(body)


def _spoken_parts(text: str) -> str:
    return json.dumps(parts(text))


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        # SQLite itself knows the case of ASCII letters only.
        "casefold": str.casefold,
        "plain": plain_text,
        "plain_bytes": plain_bytes,
        "packed": packed_text,
        "packed_bytes": packed_bytes,
        "text_size": size_of_text,
        "digest": digest_of,
        "findable": findable,
        "packed_id": packed_id,
        "spoken_parts": _spoken_parts,
        "body_without_text": _body_without_text,
    }
)
