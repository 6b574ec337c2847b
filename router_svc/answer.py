"""One answer as it is put together out of its pieces, for the record."""

from __future__ import annotations

from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall
from lair.router.v1.chat_pb2 import Delta


class Answer:
    """What one answer said so far."""

    def __init__(self) -> None:
        self.calls: dict[int, ToolCall] = {}
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._call_pieces = 0

    @classmethod
    def of(cls, message: Message) -> Answer:
        """Return an answer that came as a whole."""
        answer = cls()
        answer._text.append(message.text)
        answer._reasoning.append(message.reasoning)
        answer._refusal.append(message.refusal)
        answer.calls = dict(enumerate(message.tool_calls))
        return answer

    def add(self, delta: Delta) -> None:
        """Add a piece; this is for every token."""
        if text := delta.text:
            self._text.append(text)
        if reasoning := delta.reasoning:
            self._reasoning.append(reasoning)
        if refusal := delta.refusal:
            self._refusal.append(refusal)
        for piece in delta.tool_calls:
            self._call_pieces += 1
            call = self.calls.get(piece.index)
            if call is None:
                function = FunctionCall(name=piece.name)
                call = ToolCall(
                    id=piece.id, type=piece.type, function=function, extra_json=piece.extra_json
                )
                self.calls[piece.index] = call
            call.function.arguments += piece.arguments
            if piece.extra_json:
                call.extra_json = piece.extra_json

    @property
    def piece_count(self) -> int:
        """How many pieces it came in."""
        return len(self._text) + len(self._reasoning) + len(self._refusal) + self._call_pieces

    def text_bytes(self) -> int:
        """Return the bytes of all that was said, arguments of calls among it."""
        said = (*self._text, *self._reasoning, *self._refusal)
        called = (call.function.name + call.function.arguments for call in self.calls.values())
        return sum(len(text.encode()) for text in (*said, *called))

    def message(self) -> Message | None:
        """Return it as a message; None where it says nothing."""
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        refusal = "".join(self._refusal)
        if not (text or reasoning or refusal or self.calls):
            return None
        calls = [self.calls[number] for number in sorted(self.calls)]
        reply = Message(
            role="assistant",
            reasoning=reasoning or None,
            refusal=refusal or None,
            tool_calls=calls,
        )
        if text or not calls:
            reply.text = text
        return reply
