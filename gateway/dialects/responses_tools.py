"""The tools of a response, and which of them the model is to call. Pure.

The list is heterogeneous: agents send tools of many kinds and expect a server to use what
it can. Functions go to the backend; a custom tool, which takes free text, goes as a
function with one argument `input`; all others exist in the reply only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.dialects.json_extra import Fields, wrong
from lair.router.v1.chat_pb2 import FunctionSpec, Tool

_CHOICES = ("none", "auto", "required")
_EXPECTED = '"none", "auto", "required" or an object that names a tool'
# Kinds that a reply may show; others are no tools of this API.
_KINDS = frozenset(
    {
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "custom",
        "file_search",
        "function",
        "image_generation",
        "local_shell",
        "mcp",
        "namespace",
        "programmatic_tool_calling",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)
_NAMING = ("function", "custom")


@dataclass(frozen=True, slots=True)
class Tools:
    """What of the tools goes to the backend, and what the reply shows."""

    offered: tuple[Tool, ...]
    choice_json: bytes
    custom: frozenset[str]
    shown: list[dict[str, Any]]
    shown_choice: Any


def take_tools(fields: Fields) -> Tools:
    """Take `tools` and `tool_choice`."""
    shown = [_shown(value, f"tools[{index}]") for index, value in enumerate(fields.items("tools"))]
    fields.take("tools")
    choice = fields.take("tool_choice")
    _check_choice(choice)
    offered = tuple(_offered(tool) for tool in shown if tool["type"] in _NAMING)
    mode, chosen = _narrowed(choice, offered)
    return Tools(
        offered=chosen,
        choice_json=msgspec.json.encode(mode) if chosen and mode is not None else b"",
        custom=frozenset(tool["name"] for tool in shown if tool["type"] == "custom"),
        shown=[tool for tool in shown if tool["type"] in _KINDS],
        shown_choice="auto" if choice is None else choice,
    )


def _shown(value: object, path: str) -> dict[str, Any]:
    """Check a tool that the backend will see; complete it as the reply has to show it."""
    fields = Fields(value, path)
    tool = dict(value) if isinstance(value, dict) else {}
    kind = fields.required_text("type", expected='a string like "function"')
    if kind == "function":
        nested = fields.object("function")  # as the chat API writes it
        if nested is not None:
            tool = {**nested, "type": kind}
            fields = Fields(tool, fields.path("function"))
        fields.object("parameters")
        fields.flag("strict")
        tool = {"parameters": None, "strict": None, **tool}
    if kind in _NAMING:
        fields.required_text("name")
        fields.text("description")
    return tool


def _offered(tool: dict[str, Any]) -> Tool:
    spec = FunctionSpec(name=tool["name"])
    if tool["type"] == "custom":
        spec.description = _description(tool)
        spec.parameters_json = msgspec.json.encode(_ONE_TEXT)
        return Tool(type="function", function=spec)
    if tool.get("description") is not None:
        spec.description = tool["description"]
    if tool["parameters"] is not None:
        spec.parameters_json = msgspec.json.encode(tool["parameters"])
    if tool["strict"] is not None:
        spec.strict = tool["strict"]
    return Tool(type="function", function=spec)


_ONE_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The tool's whole input."}},
    "required": ["input"],
}


def _description(tool: dict[str, Any]) -> str:
    """Describe a custom tool, and the grammar that its text has to follow."""
    described = tool.get("description") or ""
    form = tool.get("format")
    if not isinstance(form, dict) or form.get("type") != "grammar":
        return described
    rules = f"The input follows this {form.get('syntax')} grammar:\n{form.get('definition')}"
    return f"{described}\n\n{rules}" if described else rules


def _check_choice(choice: object) -> None:
    if choice is None or choice in _CHOICES:
        return
    if not isinstance(choice, dict) or not isinstance(choice.get("type"), str):
        raise wrong("tool_choice", choice, _EXPECTED)
    if choice["type"] in _NAMING:
        Fields(choice, "tool_choice").required_text("name")
    if choice["type"] == "allowed_tools":
        fields = Fields(choice, "tool_choice")
        mode = fields.required_text("mode", expected='"auto" or "required"')
        if mode not in ("auto", "required"):
            raise wrong("tool_choice.mode", mode, '"auto" or "required"')
        fields.items("tools")


def _narrowed(choice: Any, offered: Sequence[Tool]) -> tuple[Any, tuple[Tool, ...]]:
    """Return the chat API's `tool_choice`, and the tools that it leaves to choose from."""
    if not isinstance(choice, dict):
        return choice, tuple(offered)
    if choice["type"] == "allowed_tools":
        named = (tool.get("name") for tool in choice.get("tools") or () if isinstance(tool, dict))
        allowed = {name for name in named if isinstance(name, str)}
        return choice["mode"], tuple(t for t in offered if t.function.name in allowed)
    if choice["type"] in _NAMING and any(t.function.name == choice["name"] for t in offered):
        return {"type": "function", "function": {"name": choice["name"]}}, tuple(offered)
    return None, tuple(offered)  # a tool that only its own maker has
