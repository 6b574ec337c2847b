"""The tools of a Messages request, and which of them the model must or may call.

Tools that Anthropic's own servers run (web search, code execution), or whose form only its
models have learned (computer use, text editor), come without a schema: no other model can
call them, so they are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.dialects.json_extra import Fields, wrong
from lair.router.v1.chat_pb2 import ChatCall, FunctionSpec, Tool
from svckit.errors import invalid_field

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def take_tools(fields: Fields) -> ChatCall:
    """Return a call that holds the tools and the choice among them, and nothing else."""
    given = fields.items("tools")
    fields.take("tools")
    parsed = [_parse_tool(tool, f"tools[{place}]") for place, tool in enumerate(given)]
    tools = [tool for tool in parsed if tool is not None]
    choice = Fields(fields.object("tool_choice") or {}, "tool_choice")
    fields.take("tool_choice")
    if not tools:
        return ChatCall()
    call = ChatCall(tools=tools, tool_choice_json=_take_choice(choice, tools))
    if (alone := choice.flag("disable_parallel_tool_use")) is not None:
        call.parallel_tool_calls = not alone
    return call


def _parse_tool(value: object, path: str) -> Tool | None:
    fields = Fields(value, path)
    kind = fields.text("type") or "custom"
    if kind != "custom" and fields.peek("input_schema") is None:
        return None
    schema: Mapping[str, Any] | None = fields.object("input_schema")
    if schema is None:
        raise fields.absent("input_schema", 'a JSON schema like {"type": "object"}')
    spec = FunctionSpec(
        name=fields.required_text("name"),
        description=fields.text("description"),
        parameters_json=msgspec.json.encode(schema),
        strict=fields.flag("strict"),
    )
    return Tool(type="function", function=spec)


def _take_choice(choice: Fields, tools: list[Tool]) -> bytes:
    kind = choice.text("type")
    if kind is None:
        return b""
    if kind in _CHOICES:
        return msgspec.json.encode(_CHOICES[kind])
    if kind != "tool":
        raise wrong("tool_choice.type", kind, '"auto", "any", "tool" or "none"')
    name = choice.required_text("name", expected="the name of a tool")
    if all(tool.function.name != name for tool in tools):
        known = ", ".join(tool.function.name for tool in tools)
        raise invalid_field(
            "tool_choice.name",
            f"tool_choice.name is {name!r}, and the tools that a model here can call are: {known}",
        )
    return msgspec.json.encode({"type": "function", "function": {"name": name}})
