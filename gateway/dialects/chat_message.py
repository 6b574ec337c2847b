"""One chat message out of JSON, without loss; `svckit.chat_json` is the way back."""

from __future__ import annotations

from typing import Any

from gateway.dialects.json_extra import Fields, wrong
from lair.common.v1.chat_pb2 import (
    ContentPart,
    ContentParts,
    FunctionCall,
    ImageUrl,
    Message,
    ToolCall,
)
from svckit.chat_json import message_json

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_EXPECTED_ROLE = f"one of {', '.join(ROLES)}"
# Whose messages may hold no content: what they call stands beside it, or nothing does.
MAY_BE_SILENT = ("assistant", "function")


def parse_message(value: object, path: str) -> Message:
    """Read one message of a request; `path` names it in errors."""
    fields = Fields(value, path)
    role = fields.required_text("role", expected=_EXPECTED_ROLE)
    if role not in ROLES:
        raise wrong(fields.path("role"), role, _EXPECTED_ROLE)
    message = Message(role=role)
    _parse_content(fields, message)
    if fields:  # most have a role and a text only
        _parse_rest(fields, message)
    return message


def answer_message_json(message: Message) -> dict[str, Any]:
    """Write a message as a reply holds it: required keys present, reasoning by both names."""
    out: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    out |= message_json(message)
    if message.HasField("reasoning"):
        out.setdefault("reasoning", message.reasoning)
    return out


def _parse_rest(fields: Fields, message: Message) -> None:
    rest = Message(
        name=fields.text("name"),
        tool_call_id=fields.text("tool_call_id"),
        reasoning=fields.text("reasoning_content"),
        refusal=fields.text("refusal"),
    )
    calls_path = fields.path("tool_calls")
    rest.tool_calls.extend(
        _parse_tool_call(call, f"{calls_path}[{index}]")
        for index, call in enumerate(fields.items("tool_calls"))
    )
    rest.extra_json = fields.extra()
    message.MergeFrom(rest)


def _parse_content(fields: Fields, message: Message) -> None:
    expected = "a string or a list of parts"
    content = fields.peek("content")
    if isinstance(content, str):
        message.text = content
    elif isinstance(content, list):
        path = fields.path("content")
        parts = [_parse_part(part, f"{path}[{index}]") for index, part in enumerate(content)]
        message.parts.CopyFrom(ContentParts(parts=parts))
    elif content is not None:
        raise wrong(fields.path("content"), content, expected)
    elif message.role not in MAY_BE_SILENT:
        raise fields.absent("content", expected)
    if content is not None:
        fields.take("content")


def _parse_part(value: object, path: str) -> ContentPart:
    fields = Fields(value, path)
    part = ContentPart(type=fields.required_text("type", expected='a string like "text"'))
    if part.type == "text":
        part.text = fields.required_text("text")
    elif isinstance(fields.peek("text"), str):
        part.text = fields.take("text")
    if part.type == "image_url":
        image = fields.object("image_url")
        if image is None:
            raise fields.absent("image_url", 'an object like {"url": "data:image/png;base64,…"}')
        part.image_url.CopyFrom(_parse_image(image, fields.path("image_url")))
    part.extra_json = fields.extra()
    return part


def _parse_image(value: object, path: str) -> ImageUrl:
    fields = Fields(value, path)
    image = ImageUrl(url=fields.required_text("url"), detail=fields.text("detail"))
    image.extra_json = fields.extra()
    return image


def _parse_tool_call(value: object, path: str) -> ToolCall:
    fields = Fields(value, path)
    call = ToolCall(id=fields.required_text("id"), type=fields.plain_text("type") or "")
    function = fields.object("function")
    if function is not None:
        inner = Fields(function, fields.path("function"))
        call.function.CopyFrom(
            FunctionCall(
                name=inner.required_text("name"),
                arguments=inner.required_text("arguments", expected="JSON in a string"),
                extra_json=inner.extra(),
            )
        )
    elif call.type in ("", "function"):
        raise fields.absent("function", 'an object like {"name": "…", "arguments": "{}"}')
    call.extra_json = fields.extra()
    return call
