"""A whole answer, put together of a streamed one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from lair.common.v1.chat_pb2 import Message, ToolCall
from lair.router.v1.chat_pb2 import ChatCompletion, ChatEvent, Choice, Delta, Finish

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode


async def collect(stream: AsyncGenerator[list[ChatEvent]]) -> ChatCompletion:
    """Read `stream` to its end. Raises what it raises."""
    completion = ChatCompletion()
    extra: dict[str, Any] = {}
    answers: dict[int, _Answer] = {}
    async with aclosing(stream) as batches:
        async for events in batches:
            for event in events:
                match event.WhichOneof("event"):
                    case "started":
                        started = event.started
                        completion.id, completion.model = started.id, started.model
                        completion.created = started.created
                    case "delta":
                        answers.setdefault(event.delta.index, _Answer()).add(event.delta)
                        extra |= _fields(event.delta.chunk_extra_json)
                    case "finish":
                        answers.setdefault(event.finish.index, _Answer()).finish = event.finish
                        extra |= _fields(event.finish.chunk_extra_json)
                    case "completed":
                        if event.completed.HasField("usage"):
                            completion.usage.CopyFrom(event.completed.usage)
                        extra |= _fields(event.completed.extra_json)
    completion.extra_json = _written(extra)
    ordered = [answers[index] for index in sorted(answers)]
    completion.choices.extend(answer.choice(place) for place, answer in enumerate(ordered))
    return completion


class _Answer:
    """One answer, piece by piece."""

    def __init__(self) -> None:
        self.finish = Finish(reason="stop")
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, ToolCall] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._extra: dict[str, Any] = {}
        self._choice_extra: dict[str, Any] = {}

    def add(self, delta: Delta) -> None:
        self._text.append(delta.text)
        self._reasoning.append(delta.reasoning)
        self._refusal.append(delta.refusal)
        for piece in delta.tool_calls:
            call = self._calls.setdefault(piece.index, ToolCall())
            call.id += piece.id
            call.type += piece.type
            if call.type in ("", "function"):
                call.function.name += piece.name
                call.function.arguments += piece.arguments
            if piece.extra_json:
                call.extra_json = _written(_fields(call.extra_json) | _fields(piece.extra_json))
        if delta.logprobs_json:
            for name, values in _decode(delta.logprobs_json).items():
                if isinstance(values, list):
                    self._logprobs.setdefault(name, []).extend(values)
        self._extra |= _fields(delta.extra_json)
        self._choice_extra |= _fields(delta.choice_extra_json)

    def choice(self, index: int) -> Choice:
        message = Message(
            role="assistant",
            reasoning="".join(self._reasoning) or None,
            refusal="".join(self._refusal) or None,
            tool_calls=[self._calls[number] for number in sorted(self._calls)],
            extra_json=_written(self._extra),
        )
        text = "".join(self._text)
        if text or not self._calls:
            message.text = text
        return Choice(
            index=index,
            message=message,
            finish_reason=self.finish.reason,
            logprobs_json=_encode(self._logprobs) if self._logprobs else b"",
            extra_json=_written(self._choice_extra | _fields(self.finish.choice_extra_json)),
        )


def _fields(extra: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = _decode(extra) if extra else {}
    return fields


def _written(fields: dict[str, Any]) -> bytes:
    return _encode(fields) if fields else b""
