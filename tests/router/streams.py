"""Streams of a backend as bytes, and the events they come out as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lair.router.v1.chat_pb2 import ChatEvent
from router_svc.backends.normalise import StreamNormaliser
from router_svc.backends.sse import SseDecoder
from tests.fakes.answers import event

Normalise = Callable[..., list[ChatEvent]]


def normalised(frames: tuple[bytes, ...], size: int) -> list[ChatEvent]:
    """Return the events of a stream that comes in pieces of `size` bytes."""
    raw = b"".join(frames)
    decoder, normaliser = SseDecoder(), StreamNormaliser("asked")
    events: list[ChatEvent] = []
    for start in range(0, len(raw), size):
        events += normaliser.feed(decoder.feed(raw[start : start + size]))
    events += normaliser.feed(decoder.end())
    return events + normaliser.end()


def choice(
    delta: dict[str, Any], *, index: int = 0, finish: str | None = None, **more: Any
) -> bytes:
    body = {"index": index, "delta": delta, "finish_reason": finish, **more}
    return event({"id": "c", "created": 1, "model": "m", "choices": [body]})


def deltas(events: list[ChatEvent]) -> list[Any]:
    return [item.delta for item in events if item.WhichOneof("event") == "delta"]


def finishes(events: list[ChatEvent]) -> list[tuple[int, str]]:
    found = [item.finish for item in events if item.WhichOneof("event") == "finish"]
    return [(finish.index, finish.reason) for finish in found]
