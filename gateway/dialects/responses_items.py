"""What a model said as the items of a response: reasoning, a message, calls. Pure.

The stream, the whole answer and what is read back from memory are made of these same
functions, so all three show an answer alike.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from gateway.dialects.json_extra import optional_json
from lair.common.v1.chat_pb2 import Message, ToolCall
from svckit.json_depth import decode_shallow

Item = dict[str, Any]
# Tells our own encrypted reasoning from another server's.
_SEAL = b"lair:1:"
_WHOLE = "completed"


def output_items(
    message: Message,
    origin: str,
    *,
    status: str = _WHOLE,
    custom: Collection[str] = (),
    sealed: bool = False,
    logprobs: Sequence[Item] = (),
) -> list[Item]:
    """Write an answer's items; `origin` is what their ids are made of.

    `status` is the last one's: those before it are complete. `custom` names the tools that
    are no functions; `sealed` adds encrypted reasoning.
    """
    items: list[Item] = []
    if message.reasoning:
        items.append(reasoning_item(f"rs_{origin}", message.reasoning, _WHOLE, sealed=sealed))
    parts = _said(message, logprobs)
    if parts or not (items or message.tool_calls):
        items.append(message_item(f"msg_{origin}", parts or [text_part("")], _WHOLE))
    for index, call in enumerate(message.tool_calls):
        items.append(_call(call, origin, index, custom))
    items[-1]["status"] = status
    return items


def reasoning_item(item_id: str, text: str, status: str, *, sealed: bool = False) -> Item:
    """Write reasoning; without text it has only begun."""
    item: Item = {
        "type": "reasoning",
        "id": item_id,
        "summary": [],
        "content": [reasoning_part(text)] if text else [],
        "status": status,
    }
    if sealed:
        item["encrypted_content"] = seal(text)
    return item


def message_item(item_id: str, parts: list[Item], status: str) -> Item:
    """Write a message of the assistant."""
    return {
        "type": "message",
        "id": item_id,
        "status": status,
        "role": "assistant",
        "content": parts,
    }


def call_item(item_id: str, call_id: str, name: str, arguments: str, status: str) -> Item:
    """Write a call of a function."""
    return {
        "type": "function_call",
        "id": item_id,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def custom_call_item(item_id: str, call_id: str, name: str, text: str, status: str) -> Item:
    """Write a call of a tool that takes free text."""
    return {
        "type": "custom_tool_call",
        "id": item_id,
        "call_id": call_id,
        "name": name,
        "input": text,
        "status": status,
    }


def text_part(text: str, logprobs: Sequence[Item] = ()) -> Item:
    """Write a part of a message that is text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def refusal_part(text: str) -> Item:
    """Write a part of a message that says why the model does not answer."""
    return {"type": "refusal", "refusal": text}


def reasoning_part(text: str) -> Item:
    """Write a part of reasoning."""
    return {"type": "reasoning_text", "text": text}


def call_item_id(origin: str, index: int, *, custom: bool) -> str:
    """Name the call `index` of a message."""
    return f"{'ctc' if custom else 'fc'}_{origin}_{index}"


def call_id_of(call_id: str, origin: str, index: int) -> str:
    """Return a call's id; clients take two calls without one for the same."""
    return call_id or f"call_{origin}_{index}"


def custom_input(arguments: str) -> str:
    """Return the text that a custom tool was given, out of its function's arguments."""
    try:
        given = decode_shallow(arguments.encode())
    except msgspec.DecodeError:
        return arguments
    text = given.get("input") if isinstance(given, dict) else None
    return text if isinstance(text, str) else arguments


def custom_arguments(text: str) -> str:
    """Return a custom tool's text as the arguments of its function."""
    return msgspec.json.encode({"input": text}).decode()


def seal(reasoning: str) -> str:
    """Write reasoning as the opaque text that clients keep and send back."""
    return base64.b64encode(_SEAL + reasoning.encode(errors="replace")).decode()


def unseal(text: str) -> str:
    """Read what `seal` wrote; empty where it was another server."""
    try:
        data = base64.b64decode(text, validate=True)
        return data.removeprefix(_SEAL).decode() if data.startswith(_SEAL) else ""
    except ValueError:
        return ""


def logprobs_of(document: bytes) -> list[Item]:
    """Write the chat API's log probabilities as an output text's; nothing where there are none."""
    value = optional_json(document)
    content = value.get("content") if isinstance(value, dict) else None
    return [
        {**_probable(entry), "top_logprobs": [_probable(top) for top in _objects(entry)]}
        for entry in content or ()
        if isinstance(entry, dict)
    ]


def _objects(entry: Item) -> list[Item]:
    return [top for top in entry.get("top_logprobs") or () if isinstance(top, dict)]


def _probable(entry: Item) -> Item:
    token = str(entry.get("token", ""))
    return {
        "token": token,
        "logprob": entry.get("logprob") or 0,
        "bytes": entry.get("bytes") or list(token.encode()),
    }


def _said(message: Message, logprobs: Sequence[Item]) -> list[Item]:
    parts = [text_part(message.text, logprobs)] if message.text else []
    parts += [text_part(part.text) for part in message.parts.parts if part.HasField("text")]
    if message.refusal:
        parts.append(refusal_part(message.refusal))
    return parts


def _call(call: ToolCall, origin: str, index: int, custom: Collection[str]) -> Item:
    name, arguments = call.function.name, call.function.arguments
    is_custom = name in custom
    item_id = call_item_id(origin, index, custom=is_custom)
    call_id = call_id_of(call.id, origin, index)
    if is_custom:
        return custom_call_item(item_id, call_id, name, custom_input(arguments), _WHOLE)
    return call_item(item_id, call_id, name, arguments, _WHOLE)
