"""Which backend answered a conversation last: its cache still holds the prompt.

A conversation is known by its id, else by what stays the same over all its turns:
caller, system prompt, first message of the user, names of the tools.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from lair.router.v1.chat_pb2 import ChatCall

_MOST = 10_000


class Affinity:
    """The last answers of the most recent conversations, in memory only."""

    def __init__(self, most: int = _MOST) -> None:
        self._last: OrderedDict[bytes, tuple[str, str]] = OrderedDict()
        self._most = most

    def last(self, digest: bytes) -> tuple[str, str] | None:
        """Return the backend and model of the last answer in what `conversation_digest` names."""
        return self._last.get(digest)

    def note(self, digest: bytes, backend: str, model: str) -> None:
        """Remember who answered."""
        self._last[digest] = (backend, model)
        self._last.move_to_end(digest)
        if len(self._last) > self._most:
            self._last.popitem(last=False)


def conversation_digest(call: ChatCall) -> bytes:
    """Name the conversation of a call."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(call.caller.user_id.encode("utf-8", "replace"))
    if call.memory.conversation_id:
        digest.update(b"\x00id" + call.memory.conversation_id.encode("utf-8", "replace"))
        return digest.digest()
    for message in call.messages:
        digest.update(b"\x00" + message.SerializeToString(deterministic=True))
        if message.role == "user":
            break
    for tool in call.tools:
        digest.update(b"\x00" + tool.function.name.encode("utf-8", "replace"))
    return digest.digest()
