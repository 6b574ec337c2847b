"""Stored messages as the items of a conversation or of a response's input. Pure.

One message may be several items: an answer is its reasoning, its text and its calls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from google.protobuf.json_format import MessageToDict

from gateway.dialects.json_body import decode_object
from gateway.dialects.json_extra import Fields, optional_json
from gateway.dialects.responses_fields import take_metadata
from gateway.dialects.responses_ids import digits_of
from gateway.dialects.responses_input import Piece, parse_input
from gateway.dialects.responses_items import Item, output_items
from lair.common.v1.chat_pb2 import ContentPart, Message
from lair.memory.v1.conversation_pb2 import Conversation, StoredMessage
from svckit.errors import invalid_field

MAX_NEW_ITEMS = 20
_DETAILS = ("low", "high", "auto", "original")
_FILE_FIELDS = ("file_id", "filename", "file_data", "file_url")
# What memory calls `system` was said beside the conversation: instructions of one response.
_INSTRUCTIONS = "system"


def conversation_json(conversation: Conversation) -> Item:
    """Write a conversation."""
    metadata = MessageToDict(conversation.metadata)
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": conversation.create_time.seconds,
        "metadata": {key: _as_text(value) for key, value in metadata.items()},
    }


def parse_conversation(body: bytes) -> tuple[dict[str, str], list[Piece]]:
    """Read the body that begins a conversation: its metadata and its first items."""
    fields = Fields(decode_object(body) if body.strip() else {}, "")
    metadata = take_metadata(fields)
    return metadata, _new_items(fields) if fields.peek("items") is not None else []


def parse_metadata(body: bytes) -> dict[str, str]:
    """Read the body that changes a conversation: its new metadata."""
    fields = Fields(decode_object(body), "")
    if "metadata" not in fields:
        raise fields.absent("metadata", 'an object like {"topic": "demo"}')
    return take_metadata(fields)


def parse_new_items(body: bytes) -> list[Piece]:
    """Read the body that adds items."""
    fields = Fields(decode_object(body), "")
    if fields.peek("items") is None:
        raise fields.absent("items", f"a list of at most {MAX_NEW_ITEMS} items")
    return _new_items(fields)


def items_of(
    messages: Iterable[StoredMessage],
    *,
    custom: Collection[str] = (),
    with_instructions: bool = True,
) -> list[Item]:
    """Write messages as items, in order; `custom` names the tools that are no functions."""
    return [
        item
        for stored in messages
        if with_instructions or stored.message.role != _INSTRUCTIONS
        for item in _items(stored, custom)
    ]


def page(items: Sequence[Item], *, newest_first: bool, after: str, limit: int) -> Item:
    """Write the page that follows the item `after`."""
    ordered = list(reversed(items)) if newest_first else list(items)
    begin = 0
    if after:
        places = [index for index, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise invalid_field("after", f"after is {after!r}, which is no item of this list")
        begin = places[0] + 1
    return listed(ordered[begin : begin + limit], has_more=begin + limit < len(ordered))


def listed(items: Sequence[Item], *, has_more: bool = False) -> Item:
    """Write a list of items."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": has_more,
    }


def _new_items(fields: Fields) -> list[Piece]:
    given = fields.peek("items")
    if isinstance(given, list) and len(given) > MAX_NEW_ITEMS:
        raise invalid_field(
            "items", f"items has {len(given)} of them; send at most {MAX_NEW_ITEMS} at a time"
        )
    return parse_input(fields.items("items"), "items")


def _items(stored: StoredMessage, custom: Collection[str]) -> list[Item]:
    message = stored.message
    # What a model said goes by its request, so that a response's items keep their ids.
    origin = digits_of(stored.request_id) if stored.model or stored.finish_reason else ""
    origin = origin or str(stored.id)
    if message.role == "assistant":
        return output_items(message, origin, custom=custom)
    if message.role in ("tool", "function"):
        return [
            {
                "type": "function_call_output",
                "id": f"fco_{origin}",
                "call_id": message.tool_call_id,
                "output": _output(message),
                "status": "completed",
            }
        ]
    return [
        {
            "type": "message",
            "id": f"msg_{origin}",
            "status": "completed",
            "role": message.role,
            "content": _content(message),
        }
    ]


def _output(message: Message) -> Any:
    return _content(message) if message.HasField("parts") else message.text


def _content(message: Message) -> list[Item]:
    if not message.HasField("parts"):
        return [{"type": "input_text", "text": message.text}]
    parts = map(_part, message.parts.parts)
    return [part for part in parts if part is not None]


def _part(part: ContentPart) -> Item | None:
    """Write a part of what was sent; None for what this API has no word for."""
    if part.HasField("text"):
        return {"type": "input_text", "text": part.text}
    if part.HasField("image_url"):
        detail = part.image_url.detail
        detail = detail if detail in _DETAILS else "auto"
        return {"type": "input_image", "image_url": part.image_url.url, "detail": detail}
    if part.type != "file":
        return None
    further = optional_json(part.extra_json) or {}
    given = further.get("file")
    file = given if isinstance(given, dict) else {}
    told = {name: file[name] for name in _FILE_FIELDS if isinstance(file.get(name), str)}
    return {"type": "input_file", **told}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
