"""Takes a `<think>…</think>` at the head of an answer for reasoning. Pure.

For servers that leave it in the text (`split_think`). A tag may come in pieces; what may
still become one is held back.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from lair.router.v1.chat_pb2 import ChatCompletion, ChatEvent, Delta
from router_svc.backends.reader import Reader

_OPEN, _CLOSE = "<think>", "</think>"


class _Part(Enum):
    HEAD = auto()
    REASONING = auto()
    # Between the reasoning and the answer: blank lines that belong to neither.
    GAP = auto()
    ANSWER = auto()


class SplitThink:
    """A reader whose answers have their reasoning apart; `inner` reads them."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner
        self._splitters: dict[int, Splitter] = {}

    @property
    def done(self) -> bool:
        """Whether nothing more is to be read."""
        return self._inner.done

    @property
    def complete(self) -> bool:
        """Whether every answer that was asked for has ended."""
        return self._inner.complete

    def feed(self, payloads: Iterable[bytes]) -> list[ChatEvent]:
        """Return the events that `payloads` amount to."""
        return [event for event in self._inner.feed(payloads) if self._split(event)]

    def end(self) -> list[ChatEvent]:
        """Return the last events, after what was held back. Raises `UpstreamError`."""
        last = self._inner.end()
        held = []
        for index, splitter in self._splitters.items():
            reasoning, text = splitter.end()
            if reasoning or text:
                delta = Delta(index=index, reasoning=reasoning, text=text)
                held.append(ChatEvent(delta=delta))
        return [*held, *(event for event in last if self._split(event))]

    def _split(self, event: ChatEvent) -> bool:
        """Split an event's text in place; tell whether it still says something."""
        if not event.HasField("delta") or not event.delta.text:
            return True
        delta = event.delta
        splitter = self._splitters.setdefault(delta.index, Splitter())
        reasoning, delta.text = splitter.feed(delta.text)
        delta.reasoning += reasoning
        return delta != Delta(index=delta.index)


class Splitter:
    """Feed it the text of one answer; it returns reasoning and answer apart."""

    def __init__(self) -> None:
        self._part = _Part.HEAD
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """Return the reasoning and the text that `text` completes."""
        if self._part is _Part.ANSWER:
            return "", text
        reasoning = ""
        text, self._held = self._held + text, ""
        if self._part is _Part.HEAD:
            head = text.lstrip()
            if _OPEN.startswith(head[: len(_OPEN)]) and len(head) < len(_OPEN):
                self._held = text
                return "", ""
            if not head.startswith(_OPEN):
                self._part = _Part.ANSWER
                return "", text
            self._part, text = _Part.REASONING, head.removeprefix(_OPEN)
        if self._part is _Part.REASONING:
            reasoning, closed, text = text.partition(_CLOSE)
            if not closed:
                reasoning, self._held = _without_begun(reasoning, _CLOSE)
                return reasoning, ""
            self._part = _Part.GAP
        text = text.lstrip()
        if text:
            self._part = _Part.ANSWER
        return reasoning, text

    def end(self) -> tuple[str, str]:
        """Return what was held back: no tag came of it."""
        held, self._held = self._held, ""
        return (held, "") if self._part is _Part.REASONING else ("", held)


def split_completion(completion: ChatCompletion) -> None:
    """Split the texts of a whole answer in place."""
    for choice in completion.choices:
        message = choice.message
        if message.WhichOneof("content") != "text":
            continue
        splitter = Splitter()
        pieces = (splitter.feed(message.text), splitter.end())
        reasoning = "".join(piece[0] for piece in pieces)
        message.text = "".join(piece[1] for piece in pieces)
        if reasoning:
            message.reasoning = message.reasoning + reasoning


def _without_begun(text: str, tag: str) -> tuple[str, str]:
    """Part `text` from an end that may be the beginning of `tag`."""
    for length in range(min(len(tag) - 1, len(text)), 0, -1):
        if text.endswith(tag[:length]):
            return text[:-length], text[-length:]
    return text, ""
