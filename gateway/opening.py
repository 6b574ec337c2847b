"""How a chat begins: what stays the same of it while it goes on. Pure.

The client's words in front of the first answer tell where an agent works, and which chat
this is. Only their beginnings are looked at, so that a long prompt costs no more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall

# Characters of all messages together in which a folder is looked for.
_SEARCHED_CHARS = 64 * 1024
# Characters of each text that tell one chat from another, beside its length.
_HASHED_CHARS = 8 * 1024
_DIGEST_BYTES = 12
# Codex; opencode and Claude Code, which writes it big or small.
_MARKS = ("<cwd>", "orking directory: ")
_PATH = re.compile(r"[`\"']?((?:/|~|[A-Za-z]:[\\/])[^\n<`\"']*)")
_SEPARATOR = re.compile(r"[\\/]+")
_INSTRUCTIONS = ("system", "developer")


def working_folder(call: ChatCall) -> str:
    """Return the name of the folder that an agent tells its model it works in, else empty."""
    left = _SEARCHED_CHARS
    for message in _opening(call):
        for text in _texts(message):
            if name := _folder_in(text[:left]):
                return name
            left -= len(text)
            if left <= 0:
                return ""
    return ""


def fingerprint(call: ChatCall, *owner: str) -> bytes:
    """Name a chat by whose it is, its system prompt and the first message of its user."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for text in (*owner, *_lasting(call)):
        head = text[:_HASHED_CHARS].encode("utf-8", "replace")
        digest.update(b"%d:" % len(text))
        digest.update(head)
    return digest.digest()


def _lasting(call: ChatCall) -> Iterator[str]:
    for message in _opening(call):
        yield from _texts(message)
        if message.role not in _INSTRUCTIONS:
            return


def _opening(call: ChatCall) -> Iterator[Message]:
    for message in call.messages:
        if message.role == "assistant":
            return
        yield message


def _texts(message: Message) -> Iterator[str]:
    if text := message.text:
        yield text
        return
    for part in message.parts.parts:
        if text := part.text:
            yield text


def _folder_in(text: str) -> str:
    for mark in _MARKS:
        at = text.find(mark)
        while at >= 0:
            found = _PATH.match(text, at + len(mark))
            if found and (name := _last_of(found[1])):
                return name
            at = text.find(mark, at + len(mark))
    return ""


def _last_of(path: str) -> str:
    """Return the last part of a path of whatever system; the home folder has no name."""
    return _SEPARATOR.split(path.strip().rstrip("\\/"))[-1].removeprefix("~")
