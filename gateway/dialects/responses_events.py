"""The events of one streamed response, and the items they build up. Pure.

Each item opens with `output_item.added` and closes with `output_item.done`; what it holds
comes in between, piece by piece and then once more as a whole.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects import sse
from gateway.dialects.responses_items import (
    Item,
    call_item,
    custom_call_item,
    custom_input,
    message_item,
    reasoning_item,
    reasoning_part,
    refusal_part,
    text_part,
)

_encode = msgspec.json.Encoder().encode
_RUNNING = "in_progress"


class Events:
    """Numbers events from 0 and frames them; the line `event:` repeats the type."""

    def __init__(self) -> None:
        self._number = 0
        self._out: list[bytes] = []

    def add(self, kind: str, **fields: Any) -> None:
        """Write one event."""
        body = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        self._out += (b"event: ", kind.encode(), b"\ndata: ", _encode(body), b"\n\n")

    def comment(self, comment: bytes) -> None:
        """Write a comment, which clients skip."""
        self._out.append(comment)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        data = sse.unbroken(b"".join(self._out))
        self._out.clear()
        return data


class _Opened:
    """An item's place in the stream: its id and index go with each of its events."""

    __slots__ = ("_events", "_place", "index", "item_id")

    def __init__(self, events: Events, index: int, item_id: str, begun: Item) -> None:
        self.index, self.item_id = index, item_id
        self._events = events
        self._place: dict[str, Any] = {"item_id": item_id, "output_index": index}
        events.add("response.output_item.added", output_index=index, item=begun)

    def add(self, kind: str, **fields: Any) -> None:
        """Write an event of the item."""
        self._events.add(f"response.{kind}", **self._place, **fields)

    def done(self, item: Item) -> Item:
        """Close the item; return it as it is now."""
        self._events.add("response.output_item.done", output_index=self.index, item=item)
        return item


class Reasoning:
    """Reasoning as it comes."""

    def __init__(self, events: Events, index: int, item_id: str, *, sealed: bool) -> None:
        self._item = _Opened(events, index, item_id, reasoning_item(item_id, "", _RUNNING))
        self._item.add("content_part.added", content_index=0, part=reasoning_part(""))
        self._sealed = sealed
        self._text: list[str] = []

    def think(self, text: str) -> None:
        """Add a piece."""
        self._text.append(text)
        self._item.add("reasoning_text.delta", content_index=0, delta=text)

    def close(self, status: str) -> Item:
        """End it."""
        text = "".join(self._text)
        self._item.add("reasoning_text.done", content_index=0, text=text)
        self._item.add("content_part.done", content_index=0, part=reasoning_part(text))
        return self._item.done(
            reasoning_item(self._item.item_id, text, status, sealed=self._sealed)
        )


class Said:
    """A message as it comes: parts of text or refusal, one after the other."""

    def __init__(self, events: Events, index: int, item_id: str) -> None:
        self._item = _Opened(events, index, item_id, message_item(item_id, [], _RUNNING))
        self._parts: list[Item] = []
        self._text: list[str] = []
        self._logprobs: list[Item] = []
        self._kind = ""

    def say(self, text: str, logprobs: list[Item]) -> None:
        """Add a piece of text."""
        self._turn_to("output_text")
        self._text.append(text)
        self._logprobs += logprobs
        self._item.add("output_text.delta", content_index=self._at, delta=text, logprobs=logprobs)

    def refuse(self, text: str) -> None:
        """Add a piece of a refusal."""
        self._turn_to("refusal")
        self._text.append(text)
        self._item.add("refusal.delta", content_index=self._at, delta=text)

    def close(self, status: str) -> Item:
        """End it; one that said nothing says an empty text."""
        self._turn_to(self._kind or "output_text")
        self._end_part()
        return self._item.done(message_item(self._item.item_id, self._parts, status))

    @property
    def _at(self) -> int:
        return len(self._parts)

    def _turn_to(self, kind: str) -> None:
        if kind == self._kind:
            return
        if self._kind:
            self._end_part()
        self._kind = kind
        part = text_part("") if kind == "output_text" else refusal_part("")
        self._item.add("content_part.added", content_index=self._at, part=part)

    def _end_part(self) -> None:
        text = "".join(self._text)
        if self._kind == "output_text":
            part = text_part(text, self._logprobs)
            self._item.add(
                "output_text.done", content_index=self._at, text=text, logprobs=self._logprobs
            )
        else:
            part = refusal_part(text)
            self._item.add("refusal.done", content_index=self._at, refusal=text)
        self._item.add("content_part.done", content_index=self._at, part=part)
        self._parts.append(part)
        self._text, self._logprobs = [], []


class Called:
    """A call of a function as it comes."""

    def __init__(self, events: Events, index: int, item_id: str, call_id: str, name: str) -> None:
        self._call_id, self._name = call_id, name
        begun = call_item(item_id, call_id, name, "", _RUNNING)
        self._item = _Opened(events, index, item_id, begun)
        self._arguments: list[str] = []

    def argue(self, arguments: str) -> None:
        """Add a piece of the arguments."""
        self._arguments.append(arguments)
        self._item.add("function_call_arguments.delta", delta=arguments)

    def close(self, status: str) -> Item:
        """End it."""
        arguments = "".join(self._arguments)
        self._item.add("function_call_arguments.done", name=self._name, arguments=arguments)
        return self._item.done(
            call_item(self._item.item_id, self._call_id, self._name, arguments, status)
        )


class CustomCalled:
    """A call of a tool that takes free text: it is known when its JSON is whole."""

    def __init__(self, events: Events, index: int, item_id: str, call_id: str, name: str) -> None:
        self._call_id, self._name = call_id, name
        begun = custom_call_item(item_id, call_id, name, "", _RUNNING)
        self._item = _Opened(events, index, item_id, begun)
        self._arguments: list[str] = []

    def argue(self, arguments: str) -> None:
        """Add a piece of the arguments."""
        self._arguments.append(arguments)

    def close(self, status: str) -> Item:
        """End it."""
        text = custom_input("".join(self._arguments))
        self._item.add("custom_tool_call_input.delta", delta=text)
        self._item.add("custom_tool_call_input.done", input=text)
        return self._item.done(
            custom_call_item(self._item.item_id, self._call_id, self._name, text, status)
        )
