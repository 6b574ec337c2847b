"""The content of input items as the content of chat messages. Pure.

Parts that a chat has a word for become it; others stay as they came, for the backend to
take or refuse.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.json_extra import Fields, wrong
from lair.common.v1.chat_pb2 import ContentPart, ContentParts, ImageUrl, Message
from svckit.errors import invalid_field

TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_EXPECTED = "a string or a list of parts"
_FILE_FIELDS = ("file_data", "file_id", "file_url", "filename")


def fill(message: Message, content: object, path: str) -> None:
    """Put the content of an input item into `message`."""
    if isinstance(content, str):
        message.text = content
        return
    if not isinstance(content, list):
        raise wrong(path, content, _EXPECTED)
    parts = []
    for index, value in enumerate(content):
        part = _part(value, f"{path}[{index}]", message)
        if part is not None:
            parts.append(part)
    _put(message, parts)


def fill_output(message: Message, output: object, path: str) -> None:
    """Put a tool's output into `message`; what is neither text nor parts becomes JSON."""
    if isinstance(output, list) and all(isinstance(p, dict) and "type" in p for p in output):
        fill(message, output, path)
    elif isinstance(output, str):
        message.text = output
    else:
        message.text = "" if output is None else msgspec.json.encode(output).decode()


def joined_text(content: object) -> str:
    """Return the text of a list of parts."""
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _put(message: Message, parts: list[ContentPart]) -> None:
    """Set the parts; as plain text where they are that, for servers that take nothing else."""
    is_text = all(part.type == "text" for part in parts)
    if message.role == "assistant":
        text = "".join(part.text for part in parts)
        if text or not message.refusal:
            message.text = text
    elif is_text and (message.role != "user" or len(parts) == 1):
        message.text = "\n".join(part.text for part in parts)
    else:
        message.parts.CopyFrom(ContentParts(parts=parts))


def _part(value: object, path: str, message: Message) -> ContentPart | None:
    fields = Fields(value, path)
    kind = fields.required_text("type", expected='a string like "input_text"')
    if kind in TEXTS:
        return ContentPart(type="text", text=fields.required_text("text"))
    if kind == "refusal":
        message.refusal = fields.required_text("refusal")
        return None
    if kind == "input_image":
        return _image(fields)
    if kind == "input_file":
        given = {name: fields.take(name) for name in _FILE_FIELDS if fields.peek(name)}
        return ContentPart(type="file", extra_json=msgspec.json.encode({"file": given}))
    return ContentPart(type=kind, extra_json=fields.extra())


def _image(fields: Fields) -> ContentPart:
    given: Any = fields.peek("image_url")
    url = given.get("url") if isinstance(given, dict) else given
    path = fields.path("image_url")
    if url is None:
        raise invalid_field(
            path, f"{path} is missing; send the picture in it, as lair keeps no files to refer to"
        )
    if not isinstance(url, str):
        raise wrong(path, url, "an address or a base64 data URI")
    detail = fields.text("detail")
    if detail == "original":
        detail = "high"  # the most that the chat API has a word for
    return ContentPart(type="image_url", image_url=ImageUrl(url=url, detail=detail))
