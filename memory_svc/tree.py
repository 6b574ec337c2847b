"""Where a message belongs: the hash of the path that ends in it.

The messages of a conversation form a tree. A node's hash covers its parent's hash
and what the message says, so two paths with the same hash are the same path, and
a client that sends its whole history again adds nothing. Leading system messages
are not part of the tree: clients change them (dates, tool lists) on every request.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from memory_svc.model import Message

ROOT = bytes(16)
SYSTEM_ROLES = ("system", "developer")


def split_system(messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Split the leading system messages from the others."""
    count = 0
    while count < len(messages) and messages[count].role in SYSTEM_ROLES:
        count += 1
    return tuple(messages[:count]), tuple(messages[count:])


def chain(start: bytes, messages: Iterable[Message]) -> list[bytes]:
    """Hash the path that continues `start` with `messages`, node by node."""
    hashes = []
    for message in messages:
        start = node_hash(start, message)
        hashes.append(start)
    return hashes


def node_hash(parent: bytes, message: Message) -> bytes:
    """Hash `message` as a child of `parent`.

    Name, reasoning, refusal and vendors' fields do not count: clients drop them
    when they send an answer back. Neither does white space around the text.
    """
    said = [
        message.role,
        text_of(message).strip(),
        _other_parts(message),
        [[call.function.name, call.function.arguments] for call in message.tool_calls],
        message.tool_call_id,
    ]
    canonical = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    return hashlib.blake2b(parent + canonical, digest_size=16).digest()


def text_of(message: Message) -> str:
    """Return what a message says in words; its text parts joined by line ends."""
    if message.HasField("parts"):
        return "\n".join(part.text for part in message.parts.parts if part.HasField("text"))
    return message.text


def _other_parts(message: Message) -> list[list[object]]:
    """List what parts other than text hold: pictures, files, sounds."""
    return [
        [part.type, part.image_url.url, part.image_url.detail, _canonical(part.extra_json)]
        for part in message.parts.parts
        if not part.HasField("text")
    ]


def _canonical(document: bytes) -> str:
    """Order the keys of a JSON document, so that their order does not count."""
    try:
        return json.dumps(json.loads(document), sort_keys=True) if document else ""
    except ValueError:
        return document.hex()  # not JSON after all: then every byte counts
