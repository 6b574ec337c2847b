"""A scripted model that can what the tiny one cannot: any tool, any schema, images, thoughts.

It stands behind a real `lair up` as an OpenAI-compatible backend; only its answers are
scripted. Arguments and documents are made from the schema that was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.fakes.answers import DONE, Answer, chunk, reply, stream, usage_chunk, usage_of

ODD_MODEL = "lab/odd:7b"
BUSY_MODEL = "busy"
MODELS = ("scripted", ODD_MODEL, BUSY_MODEL)

_TEXT = "Hello there, this is a scripted answer."
_THOUGHT = "I should think about this."
_PIECE = 7


def answer(body: dict[str, Any]) -> Answer:
    """Answer a chat as a capable model would."""
    if body["model"] == BUSY_MODEL:
        error = {"message": "too many requests", "type": "rate_limit_error", "code": None}
        return reply({"error": error}, 429, retry_after="1")
    message = _message(body)
    usage = (len(json.dumps(body["messages"]).split()), 5)
    finish = "tool_calls" if "tool_calls" in message else "stop"
    count = body.get("n") or 1
    if body.get("stream"):
        pieces = [
            chunk(choices=[{"index": index, **choice}], model=body["model"])
            for index in range(count)
            for choice in _pieces(message, finish)
        ]
        return stream(*pieces, usage_chunk(*usage), DONE)
    choices = [
        {"index": index, "message": message, "finish_reason": finish} for index in range(count)
    ]
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000}
    return reply({**head, "model": body["model"], "choices": choices, "usage": usage_of(*usage)})


def instance(schema: dict[str, Any], text: str, root: dict[str, Any] | None = None) -> Any:
    """Return a value of a JSON schema, with what `text` says where it says something."""
    root = root or schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        definitions = root.get("$defs") or root.get("definitions") or {}
        return instance(definitions[name], text, root)
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return instance(schema[union][0], text, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    return _plain(schema, text, root)


def _plain(schema: dict[str, Any], text: str, root: dict[str, Any]) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    match kind:
        case "object":
            fields = schema.get("properties", {})
            return {name: instance(each, text, root) for name, each in fields.items()}
        case "array":
            return [instance(schema.get("items", {}), text, root)]
        case "integer" | "number":
            numbers = re.findall(r"\d+", text)
            return int(numbers[0]) if numbers else 3
        case "boolean":
            return True
        case "null":
            return None
        case _:
            said = re.search(r"'([^']+)'|\bin ([A-Z]\w+)", text)
            return next(filter(None, said.groups())) if said else "something"


def _message(body: dict[str, Any]) -> dict[str, Any]:
    text = _last_text(body["messages"])
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if "think" in text.lower():
        message["reasoning_content"] = _THOUGHT
    tool = _chosen_tool(body, text)
    if tool:
        arguments = json.dumps(instance(tool.get("parameters") or {"type": "object"}, text))
        function = {"name": tool["name"], "arguments": arguments}
        return {
            **message,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        }
    return {**message, "content": _content(body, text)}


def _content(body: dict[str, Any], text: str) -> str:
    form = body.get("response_format") or {"type": "text"}
    if form["type"] == "json_schema":
        return json.dumps(instance(form["json_schema"]["schema"], text))
    if form["type"] == "json_object":
        return json.dumps(dict.fromkeys(re.findall(r"'(\w+)'", text) or ["name"], "something"))
    last = body["messages"][-1]
    if last["role"] == "tool":
        return f"The tool says: {_text_of(last['content'])}"
    images = sum(part.get("type") == "image_url" for part in _parts(body["messages"]))
    return f"I see {images} images." if images else _TEXT


def _chosen_tool(body: dict[str, Any], text: str) -> dict[str, Any] | None:
    tools = [tool["function"] for tool in body.get("tools") or () if tool["type"] == "function"]
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        return next(tool for tool in tools if tool["name"] == choice["function"]["name"])
    if not tools or choice == "none":
        return None
    named = next((tool for tool in tools if _is_meant(tool["name"], text)), None)
    if choice == "required":
        return named or tools[0]
    return None if body["messages"][-1]["role"] == "tool" else named


def _is_meant(name: str, text: str) -> bool:
    words = [word for word in re.split(r"[_-]", name.lower()) if len(word) > 3]
    return name in text or any(word in text.lower() for word in words)


def _pieces(message: dict[str, Any], finish: str) -> Iterator[dict[str, Any]]:
    """Yield the choice of each chunk, without its index."""
    for name in ("reasoning_content", "content"):
        for piece in _cut(message.get(name) or ""):
            yield _delta({name: piece})
    for number, call in enumerate(message.get("tool_calls", ())):
        first = {**call["function"], "arguments": ""}
        yield _delta({"tool_calls": [{**call, "index": number, "function": first}]})
        for piece in _cut(call["function"]["arguments"]):
            yield _delta({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield {"delta": {}, "finish_reason": finish}


def _delta(delta: dict[str, Any]) -> dict[str, Any]:
    return {"delta": delta, "finish_reason": None}


def _cut(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _last_text(messages: list[dict[str, Any]]) -> str:
    return next((_text_of(m["content"]) for m in reversed(messages) if m["role"] == "user"), "")


def _parts(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        if isinstance(message.get("content"), list):
            yield from message["content"]


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""
