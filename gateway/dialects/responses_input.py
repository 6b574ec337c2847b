"""The input of a response: items of many kinds to chat messages. Pure.

Each item becomes a piece; `joined` then makes the messages, where all that an assistant
said in a row is one. A kind of item that no chat has a word for is left out: a request is
never refused for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.dialects.json_extra import Fields, wrong
from gateway.dialects.responses_ids import ItemId
from gateway.dialects.responses_items import custom_arguments, unseal
from gateway.dialects.responses_parts import fill, fill_output, joined_text
from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall

_EXPECTED = "a string or a list of items"
# Instructions of the request itself are `system`, so these stay apart from them in memory.
_ROLES = {
    "user": "user",
    "assistant": "assistant",
    "system": "developer",
    "developer": "developer",
}
# What an item says about itself rather than to its tool.
_BOOKKEEPING = frozenset({"type", "id", "call_id", "status", "name"})


@dataclass(frozen=True, slots=True)
class Reference:
    """An item that is kept elsewhere, by its id."""

    id: str


Piece = Message | Reference


def parse_input(value: object, path: str = "input") -> list[Piece]:
    """Read an input; an absent one is empty."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Message(role="user", text=value)]
    if not isinstance(value, list):
        raise wrong(path, value, _EXPECTED)
    pieces = (_piece(item, f"{path}[{index}]") for index, item in enumerate(value))
    return [piece for piece in pieces if piece is not None]


def joined(pieces: Iterable[Piece], kept: Mapping[str, Message] | None = None) -> list[Message]:
    """Return the messages that pieces make; `kept` has those that are referred to, by id."""
    messages: list[Message] = []
    for piece in pieces:
        found = (kept or {}).get(piece.id) if isinstance(piece, Reference) else piece
        if found is None:
            continue
        if messages and _belongs_to(messages[-1], found):
            _add(messages[-1], found)
        else:
            message = Message()
            message.CopyFrom(found)
            messages.append(message)
    said = [message for message in messages if _says_something(message)]
    _forget_old_reasoning(said)
    return said


def referred(item: ItemId, message: Message) -> Message | None:
    """Return the part of a kept message that an item's id names; None where it has none."""
    if item.kind == "rs":
        return Message(role="assistant", reasoning=message.reasoning) if message.reasoning else None
    if item.kind in ("fc", "ctc"):
        calls = message.tool_calls[item.index : item.index + 1]
        return Message(role="assistant", tool_calls=calls) if calls else None
    words = Message()
    words.CopyFrom(message)
    words.ClearField("reasoning")
    del words.tool_calls[:]
    return words


def _piece(value: object, path: str) -> Piece | None:
    fields = Fields(value, path)
    kind = fields.text("type") or ("message" if "role" in fields else "item_reference")
    read = _READERS.get(kind)
    if read is not None:
        return read(fields)
    if not isinstance(fields.peek("call_id"), str):
        return None
    if kind.endswith("_output"):
        return _output(fields)
    return _foreign_call(fields, kind) if kind.endswith("_call") else None


def _message(fields: Fields) -> Message:
    expected = '"user", "assistant", "system" or "developer"'
    role = fields.required_text("role", expected=expected)
    if role not in _ROLES:
        raise wrong(fields.path("role"), role, expected)
    message = Message(role=_ROLES[role])
    fill(message, fields.take("content"), fields.path("content"))
    return message


def _reference(fields: Fields) -> Reference:
    return Reference(fields.required_text("id", expected="the id of an item"))


def _reasoning(fields: Fields) -> Message | None:
    sealed = fields.peek("encrypted_content")
    text = (
        (unseal(sealed) if isinstance(sealed, str) else "")
        or joined_text(fields.peek("content"))
        or joined_text(fields.peek("summary"))
    )
    return Message(role="assistant", reasoning=text) if text else None


def _function_call(fields: Fields) -> Message:
    return _calling(
        call_id=fields.required_text("call_id"),
        name=fields.required_text("name"),
        arguments=fields.required_text("arguments", expected="JSON in a string"),
    )


def _custom_call(fields: Fields) -> Message:
    return _calling(
        call_id=fields.required_text("call_id"),
        name=fields.required_text("name"),
        arguments=custom_arguments(fields.required_text("input")),
    )


def _foreign_call(fields: Fields, kind: str) -> Message:
    """Show a call of a built-in tool as one of a function of its name."""
    call_id = fields.required_text("call_id")
    name = fields.peek("name")
    left: dict[str, Any] = msgspec.json.decode(fields.extra() or b"{}")
    arguments = {key: each for key, each in left.items() if key not in _BOOKKEEPING}
    return _calling(
        call_id=call_id,
        name=name if isinstance(name, str) and name else kind.removesuffix("_call"),
        arguments=msgspec.json.encode(arguments).decode(),
    )


def _calling(*, call_id: str, name: str, arguments: str) -> Message:
    function = FunctionCall(name=name, arguments=arguments)
    call = ToolCall(id=call_id, type="function", function=function)
    return Message(role="assistant", tool_calls=[call])


def _output(fields: Fields) -> Message:
    message = Message(role="tool", tool_call_id=fields.text("call_id") or "")
    fill_output(message, fields.take("output"), fields.path("output"))
    return message


_READERS: Mapping[str, Callable[[Fields], Piece | None]] = {
    "message": _message,
    "item_reference": _reference,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "function_call_output": _output,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _output,
}


def _belongs_to(last: Message, piece: Message) -> bool:
    """Tell whether both are one turn of the assistant; a second text begins another."""
    if last.role != "assistant" or piece.role != "assistant":
        return False
    return not (last.WhichOneof("content") and piece.WhichOneof("content"))


def _add(message: Message, piece: Message) -> None:
    reasoning = "\n".join(filter(None, (message.reasoning, piece.reasoning)))
    message.MergeFrom(piece)
    if reasoning:
        message.reasoning = reasoning


def _says_something(message: Message) -> bool:
    if message.role != "assistant":
        return True
    return bool(message.WhichOneof("content") or message.tool_calls or message.refusal)


def _forget_old_reasoning(messages: Sequence[Message]) -> None:
    """Keep the reasoning of the running turn only: of older ones no model wants it."""
    running = False
    for message in reversed(messages):
        if running:
            message.ClearField("reasoning")
        running = running or message.role == "user"
