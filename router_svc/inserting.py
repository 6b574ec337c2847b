"""Where in a prompt goes what was recalled. Pure.

In front of what the user says last, and nowhere earlier: all before it is the same as in
the request before, so the backend's cache still holds it. Until the prompt is fitted it is
a message of its own, which can be left out; then it becomes part of the user's message, as
the templates of many models take no second system message and no two of a user in a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lair.common.v1.chat_pb2 import ContentPart, Message
from lair.router.v1.chat_pb2 import ChatCall

_GAP = "\n\n"


def place_for(messages: Sequence[Message]) -> int | None:
    """Return the place of what the user says last; None where the user says nothing."""
    for place in range(len(messages) - 1, -1, -1):
        if messages[place].role == "user":
            return place
    return None


def inserted(call: ChatCall, place: int, text: str) -> ChatCall:
    """Return the call with `text` as a message of its own at `place`."""
    messages = call.messages
    return with_messages(
        call, [*messages[:place], Message(role="user", text=text), *messages[place:]]
    )


def joined(messages: Sequence[Message], place: int) -> list[Message]:
    """Make the message at `place` the beginning of the one behind it."""
    text, said = messages[place].text, Message()
    said.CopyFrom(messages[place + 1])
    if said.HasField("parts"):
        parts = [ContentPart(type="text", text=text), *said.parts.parts]
        said.ClearField("parts")
        said.parts.parts.extend(parts)
    else:
        said.text = f"{text}{_GAP}{said.text}"
    return [*messages[:place], said, *messages[place + 2 :]]


def with_messages(call: ChatCall, messages: Iterable[Message]) -> ChatCall:
    """Return the call with other messages."""
    other = ChatCall()
    other.CopyFrom(call)
    del other.messages[:]
    other.messages.extend(messages)
    return other
