"""The messages of a Messages request: blocks of content to the contract's messages.

One message of Anthropic's may be several of ours: results of tools are messages of their
own, and stand before what the user says beside them, as every chat template wants it.
Blocks that only Anthropic's servers write and read are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.dialects.json_extra import Fields, wrong
from lair.common.v1.chat_pb2 import (
    ContentPart,
    ContentParts,
    FunctionCall,
    ImageUrl,
    Message,
    ToolCall,
)

_ROLES = ("user", "assistant", "system")
_EXPECTED_CONTENT = "a string or a list of content blocks"
# Claude Code's note to Anthropic's accounting. It differs with each request, so servers
# that keep a prompt in their cache would read all of it anew.
_BILLING = "x-anthropic-billing-header:"


def parse_system(value: object) -> list[Message]:
    """Return the system prompt as a message; nothing for none."""
    blocks = _blocks(value, "system") if value is not None else []
    texts = [part for part in _parts(blocks, "system") if not part.text.startswith(_BILLING)]
    return [_said("system", texts)] if texts else []


def parse_messages(fields: Fields) -> list[Message]:
    """Take the messages, of which there must be at least one."""
    given = fields.peek("messages")
    if not isinstance(given, list) or not given:
        if given is None:
            raise fields.absent("messages", "a list of at least one message")
        raise wrong("messages", given, "a list of at least one message")
    fields.take("messages")
    return [
        message
        for place, value in enumerate(given)
        for message in _parse_message(value, f"messages[{place}]")
    ]


def _parse_message(value: object, path: str) -> list[Message]:
    fields = Fields(value, path)
    role = fields.required_text("role", expected='"user" or "assistant"')
    if role not in _ROLES:
        raise wrong(fields.path("role"), role, '"user" or "assistant"')
    content_path = fields.path("content")
    if fields.peek("content") is None:
        raise fields.absent("content", _EXPECTED_CONTENT)
    blocks = _blocks(fields.take("content"), content_path)
    if role == "assistant":
        return [_assistant(blocks, content_path)]
    return _user(role, blocks, content_path)


def _assistant(blocks: Sequence[Fields], path: str) -> Message:
    thoughts = [block.text("thinking") or "" for block in _of_type(blocks, "thinking")]
    calls = [_tool_call(block) for block in _of_type(blocks, "tool_use")]
    message = _said("assistant", list(_parts(blocks, path)))
    if calls and message.WhichOneof("content") == "text" and not message.text:
        message.ClearField("text")
    if reasoning := "\n".join(filter(None, thoughts)):
        message.reasoning = reasoning
    message.tool_calls.extend(calls)
    return message


def _user(role: str, blocks: Sequence[Fields], path: str) -> list[Message]:
    results: list[Message] = []
    shown: list[ContentPart] = []
    for block in _of_type(blocks, "tool_result"):
        message, pictures = _tool_result(block)
        results.append(message)
        shown += pictures
    said = [*shown, *_parts(blocks, path)]
    return [*results, _said(role, said)] if said or not results else results


def _tool_call(block: Fields) -> ToolCall:
    call_id = block.required_text("id")
    name = block.required_text("name")
    arguments = block.object("input") or {}
    function = FunctionCall(name=name, arguments=msgspec.json.encode(arguments).decode())
    return ToolCall(id=call_id, type="function", function=function)


def _tool_result(block: Fields) -> tuple[Message, list[ContentPart]]:
    """Return the message of a result, and what of it only a user's message can hold."""
    call_id = block.required_text("tool_use_id")
    failed = block.flag("is_error") or False
    path, content = block.path("content"), block.take("content")
    parts = list(_parts(_blocks(content, path), path)) if content is not None else []
    text = "\n".join(part.text for part in parts if part.type == "text")
    others = [part for part in parts if part.type != "text"]
    if others and not text:
        text = "(shown below)"
    if failed and not text.lower().startswith("error"):
        text = f"Error: {text}"
    return Message(role="tool", tool_call_id=call_id, text=text), others


def _said(role: str, parts: Sequence[ContentPart]) -> Message:
    """Return a message; as a plain text where it is text alone, which every server takes."""
    if all(part.type == "text" for part in parts):
        return Message(role=role, text="\n".join(part.text for part in parts))
    return Message(role=role, parts=ContentParts(parts=parts))


# -- blocks ------------------------------------------------------------------------


def _blocks(content: object, path: str) -> list[Fields]:
    if isinstance(content, str):
        return [Fields({"type": "text", "text": content}, path)] if content else []
    if not isinstance(content, list):
        raise wrong(path, content, _EXPECTED_CONTENT)
    return [Fields(block, f"{path}[{place}]") for place, block in enumerate(content)]


def _of_type(blocks: Iterable[Fields], kind: str) -> list[Fields]:
    return [block for block in blocks if block.peek("type") == kind]


def _parts(blocks: Iterable[Fields], path: str) -> Iterable[ContentPart]:
    """Yield what is said and shown; the other kinds of blocks are read elsewhere, or not."""
    for place, block in enumerate(blocks):
        kind = block.peek("type")
        if not isinstance(kind, str):
            raise wrong(f"{path}[{place}].type", kind, 'a string like "text"')
        if read := _PARTS.get(kind):
            yield from read(block)


def _text(block: Fields) -> list[ContentPart]:
    text = block.required_text("text")
    return [_text_part(text)] if text else []


def _image(block: Fields) -> list[ContentPart]:
    source = _source(block, 'an object like {"type": "base64", "media_type": "…", "data": "…"}')
    match source.peek("type"):
        case "base64":
            url = _data_uri(source)
        case "url":
            url = source.required_text("url")
        case kind:
            raise wrong(source.path("type"), kind, '"base64" or "url"')
    return [ContentPart(type="image_url", image_url=ImageUrl(url=url))]


def _document(block: Fields) -> list[ContentPart]:
    source = _source(block, 'an object like {"type": "text", "data": "…"}')
    title = block.text("title") or ""
    match source.peek("type"):
        case "text":
            return [_text_part(_titled(title, source.required_text("data")))]
        case "content":
            path = source.path("content")
            parts = list(_parts(_blocks(source.take("content"), path), path))
            return [_text_part(title), *parts] if title else parts
        case "base64":
            file = _data_uri(source)
        case "url":
            file = source.required_text("url")
        case kind:
            raise wrong(source.path("type"), kind, '"text", "content", "base64" or "url"')
    body: Mapping[str, Any] = {"file": {"filename": title or "document.pdf", "file_data": file}}
    return [ContentPart(type="file", extra_json=msgspec.json.encode(body))]


def _search_result(block: Fields) -> list[ContentPart]:
    head = _titled(block.text("title") or "", block.text("source") or "")
    path, content = block.path("content"), block.take("content")
    return [_text_part(head), *_parts(_blocks(content or [], path), path)]


def _source(block: Fields, expected: str) -> Fields:
    source = block.object("source")
    if source is None:
        raise block.absent("source", expected)
    return Fields(source, block.path("source"))


def _data_uri(source: Fields) -> str:
    media = source.required_text("media_type", expected='a media type like "image/png"')
    return f"data:{media};base64,{source.required_text('data', expected='base64 text')}"


def _titled(title: str, text: str) -> str:
    return f"{title}\n{text}" if title else text


def _text_part(text: str) -> ContentPart:
    return ContentPart(type="text", text=text)


_PARTS: Mapping[str, Callable[[Fields], Iterable[ContentPart]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
}
