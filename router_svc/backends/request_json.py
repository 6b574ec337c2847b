"""A `ChatCall` as the JSON body an OpenAI-compatible server takes. Pure.

The inverse of the gateway's dialect: typed fields are written out, and what came
in `extra_json` is put back where it was.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lair.common.v1.chat_pb2 import ContentPart, Message, ToolCall
from lair.router.v1.chat_pb2 import ChatCall, Tool

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode

_SCALARS = (
    "parallel_tool_calls",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "seed",
    "reasoning_effort",
)
# Asked for by the client, but answered by lair itself.
_OURS = ("stream", "stream_options", "store", "metadata")


def encode_request(call: ChatCall, model: str, *, stream: bool) -> bytes:
    """Return the request body; usage is always asked for, as the metrics need it."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [message_json(message) for message in call.messages],
    }
    for name in _SCALARS:
        if call.HasField(name):  # type: ignore[arg-type]  # the names are of optional fields
            body[name] = getattr(call, name)
    if call.tools:
        body["tools"] = [_tool_json(tool) for tool in call.tools]
    if call.tool_choice_json:
        body["tool_choice"] = msgspec.Raw(call.tool_choice_json)
    if call.stop:
        body["stop"] = list(call.stop)
    if call.response_format_json:
        body["response_format"] = msgspec.Raw(call.response_format_json)
    if call.extra_json:
        extra = _decode(call.extra_json)
        body.update({name: value for name, value in extra.items() if name not in _OURS})
    body["stream"] = stream
    if stream:
        body["stream_options"] = {"include_usage": True}
    return _encode(body)


def message_json(message: Message) -> dict[str, Any]:
    """Return one message as JSON values."""
    body: dict[str, Any] = {"role": message.role}
    kind = message.WhichOneof("content")
    if kind == "text":
        body["content"] = message.text
    elif kind == "parts":
        body["content"] = [_part_json(part) for part in message.parts.parts]
    if message.HasField("name"):
        body["name"] = message.name
    if message.tool_calls:
        body["tool_calls"] = [_tool_call_json(call) for call in message.tool_calls]
    if message.HasField("tool_call_id"):
        body["tool_call_id"] = message.tool_call_id
    if message.HasField("refusal"):
        body["refusal"] = message.refusal
    if message.extra_json:
        body.update(_decode(message.extra_json))
    if "content" not in body and message.role == "assistant":
        body["content"] = None
    return body


def _part_json(part: ContentPart) -> dict[str, Any]:
    body: dict[str, Any] = {"type": part.type}
    if part.HasField("text"):
        body["text"] = part.text
    if part.HasField("image_url"):
        image: dict[str, Any] = {"url": part.image_url.url}
        if part.image_url.HasField("detail"):
            image["detail"] = part.image_url.detail
        if part.image_url.extra_json:
            image.update(_decode(part.image_url.extra_json))
        body["image_url"] = image
    if part.extra_json:
        body.update(_decode(part.extra_json))
    return body


def _tool_call_json(call: ToolCall) -> dict[str, Any]:
    body: dict[str, Any] = {"id": call.id, "type": call.type or "function"}
    if call.HasField("function"):
        function = {"name": call.function.name, "arguments": call.function.arguments}
        if call.function.extra_json:
            function.update(_decode(call.function.extra_json))
        body["function"] = function
    if call.extra_json:
        body.update(_decode(call.extra_json))
    return body


def _tool_json(tool: Tool) -> dict[str, Any]:
    body: dict[str, Any] = {"type": tool.type or "function"}
    if tool.HasField("function"):
        spec = tool.function
        function: dict[str, Any] = {"name": spec.name}
        if spec.HasField("description"):
            function["description"] = spec.description
        if spec.parameters_json:
            function["parameters"] = msgspec.Raw(spec.parameters_json)
        if spec.HasField("strict"):
            function["strict"] = spec.strict
        if spec.extra_json:
            function.update(_decode(spec.extra_json))
        body["function"] = function
    if tool.extra_json:
        body.update(_decode(tool.extra_json))
    return body
