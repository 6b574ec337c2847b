"""Further fields, of choice and chunk, that come alone: kept for what is said next. Pure.

Where they change before that they are news: llama.cpp so tells how far it has read a prompt.
Then those before are an event of their own.
"""

from __future__ import annotations

import msgspec

from lair.router.v1.chat_pb2 import ChatEvent, Delta

# The further fields of a choice and of its chunk, as JSON.
Extras = tuple[bytes, bytes]


class Silence:
    """The further fields of chunks that said nothing else, by choice."""

    def __init__(self) -> None:
        self._kept: dict[int, Extras] = {}

    def keep(self, index: int, extras: Extras) -> list[ChatEvent]:
        """Keep `extras`; return an event of what they contradict."""
        if not any(extras):
            return []
        events, self._kept[index] = self.broken(index, extras)
        return events

    def broken(self, index: int, extras: Extras) -> tuple[list[ChatEvent], Extras]:
        """Return `extras` with those that were kept; an event of these where they differ."""
        before = self._kept.pop(index, None) if self._kept else None
        if before is None or before == extras:
            return [], extras
        choice, chunk = (_both(*pair) for pair in zip(before, extras, strict=True))
        if choice is None or chunk is None:
            return [_event(index, before)], extras
        return [], (choice, chunk)


def _event(index: int, extras: Extras) -> ChatEvent:
    choice, chunk = extras
    return ChatEvent(delta=Delta(index=index, choice_extra_json=choice, chunk_extra_json=chunk))


def _both(earlier: bytes, later: bytes) -> bytes | None:
    """Return the fields of both; None where one is in both with different values."""
    if not (earlier and later) or earlier == later:
        return earlier or later
    first, second = msgspec.json.decode(earlier), msgspec.json.decode(later)
    if any(second[name] != first[name] for name in first.keys() & second.keys()):
        return None
    return msgspec.json.encode(first | second)
