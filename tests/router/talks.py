"""Conversations for tests of what fits: by hand, and made up by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall
from router_svc.context import turns

Spoken = tuple[str, str]


def talk(*lines: str) -> list[Message]:
    """Make messages of lines like `user: hello`, `calls: id` and `tool: id`."""
    return [_message(*line.split(": ", 1)) for line in lines]


def told(messages: Sequence[Message]) -> list[str]:
    """Write messages as the lines that `talk` makes them of."""
    return [_line(message) for message in messages]


def words(messages: Sequence[Message]) -> int:
    """Estimate: a token for each message and each byte of text."""
    return sum(1 + len(message.text.encode()) for message in messages)


def whole_calls(messages: Sequence[Message]) -> bool:
    """Tell whether every result has its call and every call its result, calls before results."""
    open_calls: list[str] = []
    for message in messages:
        open_calls += [call.id for call in message.tool_calls]
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                return False
            open_calls.remove(message.tool_call_id)
    return not open_calls


def last_turn(messages: Sequence[Message], recall_index: int | None = None) -> list[Message]:
    """Return the messages from the last turn's first on, the recalled one apart."""
    found = turns(messages, recall_index)
    return [messages[place] for place in found[-1]] if found else []


def _message(role: str, text: str) -> Message:
    if role == "calls":
        call = ToolCall(id=text, type="function", function=FunctionCall(name="f", arguments="{}"))
        return Message(role="assistant", tool_calls=[call])
    if role == "tool":
        return Message(role="tool", tool_call_id=text, text="result")
    return Message(role=role, text=text)


def _line(message: Message) -> str:
    if message.tool_calls:
        return f"calls: {message.tool_calls[0].id}"
    if message.role == "tool":
        return f"tool: {message.tool_call_id}"
    return f"{message.role}: {message.text}"


_texts = st.text(max_size=30)


@st.composite
def _loops(draw: st.DrawFn, number: int) -> list[Message]:
    """A call and its result, at times with something said in between."""
    name = f"call-{number}" if draw(st.booleans()) else "call"  # some servers reuse ids
    between = draw(st.sampled_from(["", "", "user", "system"]))
    said = [Message(role=between, text=draw(_texts))] if between else []
    return [*talk(f"calls: {name}"), *said, *talk(f"tool: {name}")]


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Conversations as clients send them: a head, turns with loops, stray instructions."""
    messages = [
        Message(role=role, text=draw(_texts))
        for role in draw(st.lists(st.sampled_from(["system", "developer"]), max_size=2))
    ]
    for number in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 4)) == 0:
            messages.append(Message(role="system", text=draw(_texts)))
        messages.append(Message(role="user", text=draw(_texts)))
        for _ in range(draw(st.integers(0, 2))):
            messages += draw(_loops(number))
        if draw(st.booleans()):
            messages.append(Message(role="assistant", text=draw(_texts)))
    return messages
