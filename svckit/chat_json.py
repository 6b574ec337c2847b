"""A message of the contract as the JSON of the OpenAI chat API. Pure.

Used on both sides: the gateway shows messages to clients, the router sends them to
backends. What came in `extra_json` is put back where it was.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lair.common.v1.chat_pb2 import ContentPart, Message, ToolCall


def message_json(message: Message) -> dict[str, Any]:
    """Write a message as the JSON it was parsed from."""
    out: dict[str, Any] = {"role": message.role}
    match message.WhichOneof("content"):
        case "text":
            out["content"] = message.text
        case "parts":
            out["content"] = [_part_json(part) for part in message.parts.parts]
        case _:
            pass
    if message.HasField("name"):
        out["name"] = message.name
    if message.tool_calls:
        out["tool_calls"] = [tool_call_json(call) for call in message.tool_calls]
    if message.HasField("tool_call_id"):
        out["tool_call_id"] = message.tool_call_id
    if message.HasField("reasoning"):
        out["reasoning_content"] = message.reasoning
    if message.HasField("refusal"):
        out["refusal"] = message.refusal
    return with_extra(out, message.extra_json)


def tool_call_json(call: ToolCall) -> dict[str, Any]:
    """Write a whole tool call."""
    out: dict[str, Any] = {"id": call.id}
    if call.type:
        out["type"] = call.type
    if call.HasField("function"):
        function = {"name": call.function.name, "arguments": call.function.arguments}
        out["function"] = with_extra(function, call.function.extra_json)
    return with_extra(out, call.extra_json)


def with_extra(
    typed: dict[str, Any], extra: bytes, reserved: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Put the fields of `extra` beside the typed ones, which win; never a reserved one."""
    if extra:
        for name, value in msgspec.json.decode(extra).items():
            if name not in reserved:
                typed.setdefault(name, value)
    return typed


def _part_json(part: ContentPart) -> dict[str, Any]:
    out: dict[str, Any] = {"type": part.type}
    if part.HasField("text"):
        out["text"] = part.text
    if part.HasField("image_url"):
        image: dict[str, Any] = {"url": part.image_url.url}
        if part.image_url.HasField("detail"):
            image["detail"] = part.image_url.detail
        out["image_url"] = with_extra(image, part.image_url.extra_json)
    return with_extra(out, part.extra_json)
