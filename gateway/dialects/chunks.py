"""The chunks of one stream, chat or text: what all of them say alike is written once."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects import sse
from gateway.dialects.usage import usage_json
from lair.router.v1.chat_pb2 import Completed, Started
from svckit.chat_json import with_extra

_encode = msgspec.json.Encoder().encode

# What no vendor's field may stand in for: a true `error` in a chunk is an exception in
# openai-python. `obfuscation` is padding for a connection that ends here.
_RESERVED = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"}
)


class Chunks:
    """Writes chunks whose `object` is `kind`, each with one choice."""

    def __init__(self, kind: str, *, include_usage: bool) -> None:
        self._kind = kind
        self._include_usage = include_usage
        self._head = b""
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"

    @property
    def begun(self) -> bool:
        """Whether the stream has a head."""
        return bool(self._head)

    def begin(self, started: Started) -> None:
        """Keep what is the same for all chunks."""
        same_for_all = {
            "id": started.id,
            "object": self._kind,
            "created": started.created,
            "model": started.model,
        }
        self._head = b"data: " + _encode(same_for_all)[:-1] + b',"choices":['

    def choice(self, choice: dict[str, Any], extra: bytes, out: list[bytes]) -> None:
        """Write the chunk of a choice; `extra` is JSON of further fields of the chunk."""
        out += (self._head, _encode(choice), b"]")
        if extra:
            further = with_extra({}, extra, _RESERVED)
            if further:
                out += (b",", _encode(further)[1:-1])
        out.append(self._tail)

    def end(self, completed: Completed, out: list[bytes]) -> None:
        """End the stream.

        Without a usage chunk there is no place for the last chunk's further fields: one
        more chunk without choices would surprise clients that did not ask for it.
        """
        if self._include_usage:
            usage = usage_json(completed.usage) if completed.HasField("usage") else None
            last = with_extra({"usage": usage}, completed.extra_json, _RESERVED)
            out += (self._head, b"],", _encode(last)[1:], b"\n\n")
        out.append(sse.DONE)


def waiting_comment(position: int) -> bytes:
    """Say how many are served first, in a comment, which clients skip."""
    return sse.comment(f"waiting, {position} ahead" if position else "waiting, next in line")
