"""How the bytes of a streamed answer become events, whatever their format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lair.router.v1.chat_pb2 import ChatEvent


class Decoder(Protocol):
    """Cuts a stream into payloads."""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the payloads that `piece` completes."""
        ...

    def end(self) -> list[bytes]:
        """Return what the stream's end completes."""
        ...


class Reader(Protocol):
    """Makes events of payloads; a fault is kept for `end`, so that what came first is relayed."""

    @property
    def done(self) -> bool:
        """Whether nothing more is to be read."""
        ...

    @property
    def complete(self) -> bool:
        """Whether every answer that was asked for has told why it ended."""
        ...

    def feed(self, payloads: Iterable[bytes]) -> list[ChatEvent]:
        """Return the events that `payloads` amount to."""
        ...

    def end(self) -> list[ChatEvent]:
        """Return the last events. Raises `UpstreamError` where the answer broke off."""
        ...
