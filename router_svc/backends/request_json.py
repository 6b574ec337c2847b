"""A `ChatCall` as the JSON body an OpenAI-compatible server takes. Pure.

The inverse of the gateway's dialect: typed fields are written out, and what came
in `extra_json` is put back where it was.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall, Tool
from router_svc.backends.fields import treat
from router_svc.backends.flavours import Flavour
from svckit.chat_json import message_json, with_extra

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


def encode_request(
    call: ChatCall,
    model: str,
    *,
    stream: bool,
    flavour: Flavour = Flavour.OPENAI,
    ask_usage: bool = True,
) -> bytes:
    """Return the request body; usage is asked for unless not to, as the metrics need it.

    Raises `UpstreamError` for what servers of `flavour` cannot do.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message_json(message) for message in call.messages],
    }
    for name in _SCALARS:
        if call.HasField(name):  # type: ignore[arg-type]  # the names are of optional fields
            body[name] = getattr(call, name)
    if call.tools:
        body["tools"] = [tool_json(tool) for tool in call.tools]
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
    if stream and ask_usage:
        body["stream_options"] = {"include_usage": True}
    treat(body, flavour)
    return _encode(body)


def tool_json(tool: Tool) -> dict[str, Any]:
    """Write a tool with its schema untouched."""
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
        body["function"] = with_extra(function, spec.extra_json)
    return with_extra(body, tool.extra_json)


def _message_json(message: Message) -> dict[str, Any]:
    body = message_json(message)
    if message.role == "assistant":
        body.setdefault("content", None)  # required, where only tools are called
    return body
