"""The inverse of `parse_chat_request`, which the gateway itself never needs."""

from __future__ import annotations

from typing import Any

from gateway.dialects.json_extra import optional_json
from lair.router.v1.chat_pb2 import ChatCall, FunctionSpec, Tool
from svckit.chat_json import message_json, with_extra

_PLAIN = (
    "parallel_tool_calls",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "seed",
    "reasoning_effort",
)


def encode_request(call: ChatCall) -> dict[str, Any]:
    """Write a call as the body it was parsed from."""
    out: dict[str, Any] = {"messages": [message_json(message) for message in call.messages]}
    if call.model:
        out["model"] = call.model
    if call.tools:
        out["tools"] = [_tool(tool) for tool in call.tools]
    if call.stop:
        out["stop"] = list(call.stop)
    for name in _PLAIN:
        if call.HasField(name):
            out[name] = getattr(call, name)
    for name in ("tool_choice", "response_format"):
        value = optional_json(getattr(call, f"{name}_json"))
        if value is not None:
            out[name] = value
    return with_extra(out, call.extra_json)


def _tool(tool: Tool) -> dict[str, Any]:
    out: dict[str, Any] = {"type": tool.type}
    if tool.HasField("function"):
        out["function"] = _function(tool.function)
    return with_extra(out, tool.extra_json)


def _function(function: FunctionSpec) -> dict[str, Any]:
    out: dict[str, Any] = {"name": function.name}
    for name in ("description", "strict"):
        if function.HasField(name):
            out[name] = getattr(function, name)
    if function.parameters_json:
        out["parameters"] = optional_json(function.parameters_json)
    return with_extra(out, function.extra_json)


def texts_of(inputs: Any) -> list[Any]:
    """Write the texts of a call as they were sent, each as words or as tokens."""
    return [list(i.tokens.ids) if i.HasField("tokens") else i.text for i in inputs]
