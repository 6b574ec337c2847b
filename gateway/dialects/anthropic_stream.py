"""A streamed answer as the events of Anthropic's API.

A message is a list of blocks, of which one is open at a time, and a block that was closed
stays closed. Models may work on several calls of tools at once, so what comes for a block
that is not open yet waits until those before it are complete.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from gateway.dialects import sse
from gateway.dialects.anthropic_input import ObjectText
from gateway.dialects.anthropic_response import (
    RESERVED,
    call_id,
    ending,
    message_head,
    usage_json,
)
from gateway.dialects.chunks import waiting_comment
from gateway.dialects.errors import anthropic_error_json
from lair.router.v1.chat_pb2 import ChatEvent, Completed, Delta, Finish, Started, ToolCallDelta
from svckit.chat_json import with_extra
from svckit.errors import ServiceError

_encode = msgspec.json.Encoder().encode
# The kinds of blocks: what their pieces are called, and the field that holds them.
_PIECES = {
    "thinking": ("thinking_delta", "thinking"),
    "text": ("text_delta", "text"),
    "tool_use": ("input_json_delta", "partial_json"),
}
_EMPTY = {
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    "text": {"type": "text", "text": ""},
}
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'


class AnthropicStreamEncoder:
    """Write the events of one answer; all of a call's events become one piece of bytes.

    `stops` are the texts that were to end the answer.
    """

    def __init__(self, request_id: str, stops: Collection[str] = ()) -> None:
        self._request_id = request_id
        self._stops = stops
        self._blocks = _Blocks()
        self._finish = Finish()
        self._refused = False
        self.begun = False
        self.finished = False

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        """Write `events`, in order; what only waits becomes comments."""
        out: list[bytes] = []
        for event in events:
            match event.WhichOneof("event"):
                case "delta":
                    if not event.delta.index:  # this API knows one answer only
                        self._delta(event.delta, out)
                case "waiting":
                    out.append(waiting_comment(event.waiting.position))
                case "started":
                    self._start(event.started, out)
                case "finish":
                    if not event.finish.index:
                        self._finish = event.finish
                case "completed":
                    self._end(event.completed, out)
                case None:
                    pass  # a newer router's event
        return b"".join(out)

    def fail(self, error: ServiceError) -> bytes:
        """Write the failure that ends the stream."""
        return sse.named_event("error", anthropic_error_json(error, self._request_id))

    def _start(self, started: Started, out: list[bytes]) -> None:
        self.begun = True
        _event("message_start", {"message": message_head(started.id, started.model)}, out)
        out.append(_PING)

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        if delta.reasoning:
            self._blocks.say("thinking", delta.reasoning)
        if delta.text:
            self._blocks.say("text", delta.text)
        if delta.refusal:
            self._refused = True
            self._blocks.say("text", delta.refusal)
        for piece in delta.tool_calls:
            self._blocks.call(piece)
        self._blocks.write(out)

    def _end(self, completed: Completed, out: list[bytes]) -> None:
        self._blocks.close(out)
        delta = ending(
            self._finish.reason,
            self._finish.choice_extra_json,
            called=self._blocks.called,
            refused=self._refused,
            stops=self._stops,
        )
        fields = {"delta": delta, "usage": usage_json(completed.usage)}
        _event("message_delta", with_extra(fields, completed.extra_json, RESERVED), out)
        _event("message_stop", {}, out)
        self.finished = True


class _Block:
    """One block, and what of it is still to be written."""

    def __init__(self, kind: str, head: dict[str, Any]) -> None:
        self.kind = kind
        self.head = head
        self.begun = False
        self.pending = ""
        self._input = ObjectText() if kind == "tool_use" else None

    @property
    def complete(self) -> bool:
        """Whether nothing is missing of it, should another follow."""
        return self._input is None or self._input.complete

    def add(self, piece: str) -> None:
        self.pending += self._input.feed(piece) if self._input else piece

    def end(self) -> None:
        if self._input:
            self.pending += self._input.close()


class _Blocks:
    """The blocks of a message: the first of the queue is open, the others wait."""

    def __init__(self) -> None:
        self.called = False
        self._queue: list[_Block] = []
        self._calls: dict[int, _Block] = {}
        self._closed = 0

    def say(self, kind: str, text: str) -> None:
        """Add text to the last block, or to a new one where that is of another kind."""
        if not self._queue or self._queue[-1].kind != kind:
            self._queue.append(_Block(kind, _EMPTY[kind]))
        self._queue[-1].add(text)

    def call(self, piece: ToolCallDelta) -> None:
        """Begin or extend a call."""
        self.called = True
        block = self._calls.get(piece.index)
        if block is None:
            head = {"id": call_id(piece.id), "name": piece.name, "input": {}}
            block = self._calls[piece.index] = _Block("tool_use", {"type": "tool_use", **head})
            self._queue.append(block)
        block.add(piece.arguments)

    def write(self, out: list[bytes]) -> None:
        """Write as much as can be written, and close what is complete and has a successor."""
        while self._queue:
            self._write_open(out)
            if len(self._queue) == 1 or not self._queue[0].complete:
                return
            self._close_open(out)

    def close(self, out: list[bytes]) -> None:
        """Write and close all that is left."""
        while self._queue:
            self._close_open(out)

    def _close_open(self, out: list[bytes]) -> None:
        block = self._queue[0]
        block.end()
        self._write_open(out)
        if block.kind == "thinking":  # signed by nobody, which clients read as well
            self._piece({"type": "signature_delta", "signature": ""}, out)
        _event("content_block_stop", {"index": self._closed}, out)
        self._closed += 1
        self._queue.pop(0)

    def _write_open(self, out: list[bytes]) -> None:
        block = self._queue[0]
        if not block.begun:
            block.begun = True
            _event("content_block_start", {"index": self._closed, "content_block": block.head}, out)
        if block.pending:
            name, field = _PIECES[block.kind]
            self._piece({"type": name, field: block.pending}, out)
            block.pending = ""

    def _piece(self, delta: dict[str, Any], out: list[bytes]) -> None:
        _event("content_block_delta", {"index": self._closed, "delta": delta}, out)


def _event(kind: str, fields: dict[str, Any], out: list[bytes]) -> None:
    out.append(sse.named_event(kind, _encode({"type": kind, **fields})))
