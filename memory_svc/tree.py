"""Where a message belongs: the hash of the path that ends in it.

The messages of a conversation form a tree. A node's hash covers its parent's hash
and what the message says, so two paths with the same hash are the same path, and
a client that sends its whole history again adds nothing. System messages make no
difference to where the others belong: clients change them (dates, tool lists) and move
them from request to request. Leading ones are not even part of the tree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from memory_svc.model import Message, PathNode

ROOT = bytes(16)
SYSTEM_ROLES = ("system", "developer")
_SIZE = len(ROOT)
# Why answers ended that broke off.
_BROKEN_OFF = ("cancelled", "error")
# Where a client wants its prompt cached; it moves with every request.
_MARKS = ("cache_control",)


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
    when they send an answer back. Neither does white space around the text. A system
    message's hash begins with that of what it stands behind, which is all of it that
    its own children go by: to them it might as well not be there.
    """
    parent = parent[:_SIZE]
    said = [
        message.role,
        text_of(message).strip(),
        _other_parts(message),
        [[call.function.name, _canonical(call.function.arguments)] for call in message.tool_calls],
        message.tool_call_id,
    ]
    canonical = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    own = hashlib.blake2b(parent + canonical, digest_size=_SIZE).digest()
    return parent + own if message.role in SYSTEM_ROLES else own


def end_of_run(path: Sequence[bytes], run: Sequence[bytes]) -> int | None:
    """Return the place behind the last stretch of `path` that is `run`; None if none is."""
    for end in range(len(path), len(run) - 1, -1):
        if path[end - 1] == run[-1] and path[end - len(run) : end] == run:
            return end
    return None


def attempt_length(
    path: Sequence[PathNode], messages: Sequence[Message], *, answered: bool = False
) -> int:
    """Count the nodes at the end of a path that are an earlier attempt to say `messages`.

    An answer behind them is one that broke off, or any if the attempt was `answered`. The
    path must have a node in front of the attempt unless it is whole.
    """
    end = len(path)
    if end and path[-1].message.role == "assistant":
        end -= answered or path[-1].finish_reason in _BROKEN_OFF
    begin = end - len(messages)
    if not messages or begin < 0:
        return 0
    attempt = chain(path[begin - 1].hash if begin else ROOT, messages)
    return len(path) - begin if attempt[-1] == path[end - 1].hash else 0


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


def _canonical(document: str | bytes) -> str:
    """Write a JSON document so that the order of its keys and its spaces do not count."""
    if not document:
        return ""
    try:
        read = json.loads(document)
        if isinstance(read, dict):
            read = {key: value for key, value in read.items() if key not in _MARKS}
        return json.dumps(read, sort_keys=True) if read else ""
    except (ValueError, RecursionError):  # not JSON after all: then every character counts
        return document.hex() if isinstance(document, bytes) else document
