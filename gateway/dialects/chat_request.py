"""The body of a chat completion request: JSON bytes to `ChatCall`.

Typed fields are checked for type and range. `stream` and `stream_options` belong to
the dialect and are not part of the call: the router always asks for usage itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.dialects.chat_message import parse_message
from gateway.dialects.json_body import decode_object
from gateway.dialects.json_extra import INT64_MAX, INT64_MIN, Fields, wrong
from gateway.dialects.request_fields import (
    MAX_CHOICES,
    MAX_TEMPERATURE,
    take_include_usage,
    take_model,
    take_stop,
)
from gateway.dialects.stored_completions import record_of
from lair.router.v1.chat_pb2 import ChatCall, FunctionSpec, Tool

_TOOL_CHOICES = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class ChatBody:
    """A parsed body: the call, how its answer is wanted, and what is kept of it to be found again.

    `record_json` is empty where the body does not say `store: true`.
    """

    call: ChatCall
    stream: bool
    include_usage: bool
    record_json: bytes


def parse_chat_request(body: bytes) -> ChatBody:
    """Read a request's body; raise a `ServiceError` that names the field at fault."""
    decoded = decode_object(body)
    record = record_of(decoded)
    fields = Fields(decoded, "")
    stream = fields.flag("stream") or False
    include_usage = take_include_usage(fields)
    fields.take("stream")  # a null is as good as none
    call = _parse_call(fields)
    call.extra_json = fields.extra()
    return ChatBody(call, stream, include_usage, record)


def _parse_call(fields: Fields) -> ChatCall:
    call = ChatCall(
        model=take_model(fields),
        messages=[
            parse_message(message, f"messages[{index}]")
            for index, message in enumerate(_take_messages(fields))
        ],
    )
    sent = [read for name, read in _OPTIONAL.items() if name in fields]
    if sent:  # few clients send many of them
        call.MergeFrom(ChatCall(**dict(read(fields) for read in sent)))
    return call


def _parse_tools(fields: Fields) -> list[Tool]:
    tools = fields.items("tools")
    return [_parse_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def _take_messages(fields: Fields) -> list[object]:
    expected = "a list of at least one message"
    messages = fields.items("messages")
    if fields.peek("messages") == []:
        raise wrong("messages", [], expected)
    if not messages:
        raise fields.absent("messages", expected)
    return messages


def _take_tool_choice(fields: Fields) -> bytes:
    choice = fields.peek("tool_choice")
    if choice is None:
        return b""
    if not isinstance(choice, dict) and choice not in _TOOL_CHOICES:
        raise wrong(
            "tool_choice", choice, '"none", "auto", "required" or an object that names a function'
        )
    return msgspec.json.encode(fields.take("tool_choice"))


def _take_response_format(fields: Fields) -> bytes:
    value = fields.object("response_format")
    if value is None:
        return b""
    if not isinstance(value.get("type"), str):
        raise wrong(
            "response_format.type", value.get("type"), '"text", "json_object" or "json_schema"'
        )
    return msgspec.json.encode(value)


def _parse_tool(value: object, path: str) -> Tool:
    fields = Fields(value, path)
    tool = Tool(type=fields.required_text("type", expected='a string like "function"'))
    function = fields.object("function")
    if function is not None:
        tool.function.CopyFrom(_parse_function(function, fields.path("function")))
    elif tool.type == "function":
        raise fields.absent("function", 'an object with at least a "name"')
    tool.extra_json = fields.extra()
    return tool


def _parse_function(value: object, path: str) -> FunctionSpec:
    fields = Fields(value, path)
    spec = FunctionSpec(
        name=fields.required_text("name"),
        description=fields.text("description"),
        strict=fields.flag("strict"),
    )
    parameters = fields.object("parameters")
    if parameters is not None:
        spec.parameters_json = msgspec.json.encode(parameters)
    spec.extra_json = fields.extra()
    return spec


# By the name a client gives a field: its name in the contract, and its value.
_OPTIONAL: Mapping[str, Callable[[Fields], tuple[str, Any]]] = {
    "tools": lambda fields: ("tools", _parse_tools(fields)),
    "tool_choice": lambda fields: ("tool_choice_json", _take_tool_choice(fields)),
    "parallel_tool_calls": lambda fields: (
        "parallel_tool_calls",
        fields.flag("parallel_tool_calls"),
    ),
    "temperature": lambda fields: (
        "temperature",
        fields.number("temperature", 0, MAX_TEMPERATURE),
    ),
    "top_p": lambda fields: ("top_p", fields.number("top_p", 0, 1)),
    # -1 is how clients of llama.cpp and LM Studio write "no limit".
    "max_tokens": lambda fields: ("max_tokens", fields.integer("max_tokens", -1, INT64_MAX)),
    "max_completion_tokens": lambda fields: (
        "max_completion_tokens",
        fields.integer("max_completion_tokens", -1, INT64_MAX),
    ),
    "n": lambda fields: ("n", fields.integer("n", 1, MAX_CHOICES)),
    "stop": lambda fields: ("stop", take_stop(fields)),
    "seed": lambda fields: ("seed", fields.integer("seed", INT64_MIN, INT64_MAX)),
    "response_format": lambda fields: ("response_format_json", _take_response_format(fields)),
    "reasoning_effort": lambda fields: ("reasoning_effort", fields.text("reasoning_effort")),
}
