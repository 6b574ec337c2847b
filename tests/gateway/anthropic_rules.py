"""What every stream of Anthropic's API must be like, and its own client as the judge of it."""

from __future__ import annotations

import json
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def events_of(raw: bytes) -> list[dict[str, Any]]:
    """Return the JSON of each event but pings; fail where the framing is not the one agreed on."""
    assert b"\r" not in raw
    frames = raw.decode().split("\n\n")
    assert frames.pop() == "", "the last event is closed"
    found = []
    for frame in frames:
        if frame.startswith(": "):
            continue  # a comment, which all clients skip
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        if event["type"] != "ping":
            found.append(event)
    return found


def check_order(events: list[dict[str, Any]]) -> None:
    """Fail where blocks overlap, or their numbers have holes."""
    assert events[0]["type"] == "message_start"
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    open_block, next_block = None, 0
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert open_block is None
            assert event["index"] == next_block
            open_block, next_block = next_block, next_block + 1
        else:
            assert event["type"] in ("content_block_delta", "content_block_stop")
            assert event["index"] == open_block
            if event["type"] == "content_block_stop":
                open_block = None
    assert open_block is None


def accumulated(events: list[dict[str, Any]]) -> Message:
    """Have the client put a message together of events, each of which it must know."""
    message: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        parsed = _EVENT.validate_python(event)
        message = accumulate_event(event=parsed, current_snapshot=message, json_bufs=buffers)
    return Message.model_validate(message.model_dump())
