"""A streamed answer as `chat.completion.chunk` events.

The stream has one shape whatever the backend's had: a chunk with the role opens each
choice, in ascending order; content follows; a chunk with the reason alone closes each
choice; the usage comes last, if it was asked for, and then `[DONE]`. Client libraries
add up deltas by concatenation, so a role, or a tool's id or name, is never said twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.dialects import sse
from gateway.dialects.chunks import Chunks, waiting_comment
from gateway.dialects.errors import error_json
from gateway.dialects.logprobs import chat_logprobs
from lair.router.v1.chat_pb2 import ChatEvent, Delta, Finish, ToolCallDelta
from svckit.chat_json import with_extra
from svckit.errors import ServiceError

# What no vendor's field may stand in for: a second `role` becomes `assistantassistant`.
_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "logprobs"})
_DELTA = frozenset({"role", "content", "reasoning", "reasoning_content", "refusal", "tool_calls"})
_CALL = frozenset({"index", "id", "type", "function"})
_FUNCTION = "function"


class ChatStreamEncoder:
    """Write the events of one answer; all of a call's events become one piece of bytes."""

    def __init__(self, *, include_usage: bool) -> None:
        self._chunks = Chunks("chat.completion.chunk", include_usage=include_usage)
        self._opened = 0
        # By choice and number: the kind of each call that has begun.
        self._calls: dict[tuple[int, int], str] = {}
        self.finished = False

    @property
    def begun(self) -> bool:
        """Whether the answer has begun, so that headers can go out."""
        return self._chunks.begun

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        """Write `events`, in order; what only waits becomes comments."""
        out: list[bytes] = []
        for event in events:
            if event.HasField("delta"):  # first, as this is for every token
                self._delta(event.delta, out)
                continue
            match event.WhichOneof("event"):
                case "waiting":
                    out.append(waiting_comment(event.waiting.position))
                case "started":
                    self._chunks.begin(event.started)
                    self._open(0, out)
                case "finish":
                    self._finish(event.finish, out)
                case "completed":
                    self._chunks.end(event.completed, out)
                    self.finished = True
                case None:
                    pass  # a newer router's event
        return sse.unbroken(b"".join(out))

    def fail(self, error: ServiceError) -> bytes:
        """Write the failure that ends the stream; no `[DONE]` follows it."""
        return sse.event(error_json(error))

    def _open(self, index: int, out: list[bytes]) -> None:
        """Open the choices up to `index`: clients take them for a list without holes."""
        while self._opened <= index:
            self._chunk(self._opened, {"role": "assistant", "content": ""}, out)
            self._opened += 1

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        index = delta.index
        if index >= self._opened:
            self._open(index, out)
        fields: dict[str, Any] = {}
        if text := delta.text:
            fields["content"] = text
        if reasoning := delta.reasoning:
            fields["reasoning_content"] = fields["reasoning"] = reasoning
        if refusal := delta.refusal:
            fields["refusal"] = refusal
        later: list[dict[str, Any]] = []
        if delta.tool_calls:
            fields["tool_calls"], later = self._tool_calls(delta)
        if delta.extra_json:
            with_extra(fields, delta.extra_json, _DELTA)
        logprobs, choice_extra = delta.logprobs_json, delta.choice_extra_json
        chunk_extra = delta.chunk_extra_json
        if fields or logprobs or choice_extra or chunk_extra:
            self._chunk(
                index,
                fields,
                out,
                logprobs=chat_logprobs(logprobs),
                choice_extra=choice_extra,
                chunk_extra=chunk_extra,
            )
        if later:
            self._chunk(index, {"tool_calls": later}, out)

    def _tool_calls(self, delta: Delta) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the pieces that begin or extend calls, and those that follow a beginning."""
        now: list[dict[str, Any]] = []
        later: list[dict[str, Any]] = []
        for call in delta.tool_calls:
            kind = self._calls.get((delta.index, call.index))
            if kind:  # never before what `later` holds of it
                (later or now).append(with_extra(_call_goes_on(call, kind), call.extra_json, _CALL))
                continue
            kind = self._calls[delta.index, call.index] = call.type or _FUNCTION
            now.append(with_extra(_call_begins(call, kind), call.extra_json, _CALL))
            if call.arguments:
                later.append(_call_goes_on(call, kind))
        return now, later

    def _finish(self, finish: Finish, out: list[bytes]) -> None:
        self._open(finish.index, out)
        self._chunk(
            finish.index,
            {},
            out,
            reason=finish.reason,
            choice_extra=finish.choice_extra_json,
            chunk_extra=finish.chunk_extra_json,
        )

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        out: list[bytes],
        *,
        reason: str | None = None,
        logprobs: Any = None,
        choice_extra: bytes = b"",
        chunk_extra: bytes = b"",
    ) -> None:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        if choice_extra:
            with_extra(choice, choice_extra, _CHOICE)
        self._chunks.choice(choice, chunk_extra, out)


def _call_begins(call: ToolCallDelta, kind: str) -> dict[str, Any]:
    out: dict[str, Any] = {"index": call.index, "id": call.id, "type": kind}
    if kind == _FUNCTION:  # of others all stands beside it
        out[_FUNCTION] = {"name": call.name, "arguments": ""}
    return out


def _call_goes_on(call: ToolCallDelta, kind: str) -> dict[str, Any]:
    out: dict[str, Any] = {"index": call.index}
    if kind == _FUNCTION:
        out[_FUNCTION] = {"arguments": call.arguments}
    return out
