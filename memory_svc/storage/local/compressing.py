"""Long texts and bytes compressed with zstd, one by one, and read again.

A compressed text is bytes in a column of texts; compressed bytes begin with zstd's mark.
Short ones stay as they are: of up to about 100 bytes a frame is longer than what is in it.
A dictionary would save 14 bytes of a message of LoCoMo, whose vectors take 800: it does not
pay for being kept for ever.

SQL has functions for them (`functions.py`).
"""

from __future__ import annotations

import threading

import zstandard

from lair.common.v1.chat_pb2 import Message

_LEAST_BYTES = 128
_MARK = b"\x28\xb5\x2f\xfd"
_LEVEL = 3  # 9 saves 3% more and takes three times as long


class _Coders(threading.local):
    """Compresses in one thread: zstandard's objects must not be shared."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_coders = _Coders()


def packed_text(text: str | None) -> str | bytes | None:
    """Return a text as its column has it."""
    if text is None or len(text) < _LEAST_BYTES // 4:  # a character has four bytes at most
        return text
    plain = text.encode()
    packed = packed_bytes(plain)
    return text if packed is plain else packed


def plain_text(packed: str | bytes | None) -> str | None:
    """Undo `packed_text`."""
    return plain_bytes(packed).decode() if isinstance(packed, bytes) else packed


def packed_bytes(plain: bytes) -> bytes:
    """Return bytes as their column has them: themselves if that is shorter."""
    marked = plain.startswith(_MARK)
    if len(plain) < _LEAST_BYTES and not marked:
        return plain
    packed = _coders.compressor.compress(plain)
    return packed if marked or len(packed) < len(plain) else plain


def plain_bytes(packed: bytes) -> bytes:
    """Undo `packed_bytes`."""
    if not packed.startswith(_MARK):
        return packed
    return _coders.decompressor.decompress(packed)


def packed_message(message: Message) -> bytes:
    """Return a whole message as its column has it."""
    return packed_bytes(message.SerializeToString())


def plain_message(packed: bytes) -> Message:
    """Undo `packed_message`."""
    return Message.FromString(plain_bytes(packed))


def text_size(packed: str | bytes | None) -> int:
    """Return how many bytes a text has, without reading it."""
    if isinstance(packed, bytes):
        return zstandard.frame_content_size(packed)
    return len((packed or "").encode())
