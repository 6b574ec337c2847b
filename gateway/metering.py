"""What answers cost, in tokens, for the keys that may use only so many a day.

The backend's own count where it gives one. Where it does not, and where a client leaves
in the middle, a token is taken for every four bytes of the prompt's and the answer's text.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, Protocol, TypeVar

from gateway.limits import Limits
from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.chat_pb2 import ChatCall, ChatCompletion, ChatEvent
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall, EmbeddingList

_BYTES_PER_TOKEN = 4

Call = ChatCall | CompletionCall | EmbeddingCall


class _Events(Protocol):
    """A message of a stream."""

    @property
    def events(self) -> Iterable[ChatEvent]:
        """What happened, in order."""


_Message = TypeVar("_Message", bound=_Events)


def spend(limits: Limits, call: Call, answer: ChatCompletion | EmbeddingList) -> None:
    """Count the tokens of a whole answer, if its key is limited."""
    if limits.counts(call.caller.key_id):
        size = answer.ByteSize() if isinstance(answer, ChatCompletion) else 0
        limits.spend(call.caller.key_id, _tokens(call, answer.usage, size))


@contextmanager
def prompt_counted(limits: Limits, call: Call) -> Iterator[None]:
    """Count the prompt of an answer in one piece whose client leaves before it is there."""
    try:
        yield
    except asyncio.CancelledError:
        spend(limits, call, ChatCompletion())
        raise


def counted(
    limits: Limits, call: Call, answer: AbstractContextManager[AsyncIterable[_Message]]
) -> AbstractContextManager[AsyncIterable[_Message]]:
    """Return `answer`, which also counts its tokens if its key is limited."""
    return _counting(limits, call, answer) if limits.counts(call.caller.key_id) else answer


@contextmanager
def _counting(
    limits: Limits, call: Call, answer: AbstractContextManager[AsyncIterable[_Message]]
) -> Iterator[AsyncIterable[_Message]]:
    with answer as stream:
        tally = _Tally(stream)
        try:
            yield tally
        finally:
            if tally.begun:
                limits.spend(call.caller.key_id, _tokens(call, tally.usage, tally.size))


class _Tally(Generic[_Message]):
    """A stream that takes note of what it passes on."""

    def __init__(self, stream: AsyncIterable[_Message]) -> None:
        self.begun = False
        self.size = 0
        self.usage = Usage()
        self._messages = aiter(stream)

    def __aiter__(self) -> AsyncIterator[_Message]:
        return self

    async def __anext__(self) -> _Message:
        message = await anext(self._messages)
        for event in message.events:
            self._note(event)
        return message

    def _note(self, event: ChatEvent) -> None:
        match event.WhichOneof("event"):
            case "started":
                self.begun = True
            case "delta":
                delta = event.delta
                said = (delta.text, delta.reasoning, delta.refusal)
                called = (call.name + call.arguments for call in delta.tool_calls)
                self.size += sum(len(text.encode()) for text in (*said, *called))
            case "completed":
                self.usage = event.completed.usage


def _tokens(call: Call, usage: Usage, answer_bytes: int) -> int:
    if usage.HasField("total_tokens"):
        return usage.total_tokens
    if usage.HasField("prompt_tokens") or usage.HasField("completion_tokens"):
        return usage.prompt_tokens + usage.completion_tokens
    return (_prompt_bytes(call) + answer_bytes) // _BYTES_PER_TOKEN


def _prompt_bytes(call: Call) -> int:
    """Return about how many bytes of text a prompt has; pictures and sounds are none."""
    size = call.ByteSize()
    if isinstance(call, ChatCall):
        parts = (part for message in call.messages for part in message.parts.parts)
        size -= sum(part.ByteSize() for part in parts if part.type != "text")
    return size
