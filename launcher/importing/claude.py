"""Claude.ai's export: a list of conversations, each with `chat_messages`.

Newer exports say of each message which one it follows (`parent_message_uuid`), older ones
have one path. Left out: thoughts, and what files hold; what was pasted is what was said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from launcher.importing.conversation import (
    Call,
    Imported,
    ImportedConversation,
    ImportedMessage,
    Malformed,
)
from launcher.importing.source import Source, conversation_parts, json_records
from launcher.importing.steps import Piece, Result, messages_of
from launcher.importing.tree import Tree
from launcher.importing.values import Json, joined, mapping, objects, text, time_us, written

_BACKEND = "claude.ai"
_UNKNOWN_MODEL = "claude"  # the export does not say which


def read(source: Source) -> Iterator[Imported]:
    """Yield the conversations of conversations.json, of the zip or of the folder it is in."""
    for part in conversation_parts(source.path):
        for record in json_records(part, source.meter):
            if isinstance(record, Malformed):
                yield record
            else:
                yield from _conversation(*record)


def _conversation(where: str, record: Any) -> Iterator[Imported]:
    record = mapping(record)
    listed, conversation_id = record.get("chat_messages"), text(record.get("uuid"))
    if not isinstance(listed, list) or not conversation_id:
        yield Malformed(where, "it has no uuid or no list of chat_messages")
        return
    tree = Tree()
    model = text(record.get("model")) or _UNKNOWN_MODEL
    before: str | None = None
    for number, message in enumerate(listed, 1):
        key = text(mapping(message).get("uuid"))
        if not key:
            yield Malformed(where, f"its message {number} is no object with a uuid")
            continue
        parent = message.get("parent_message_uuid", before)
        tree.add(key, parent if isinstance(parent, str) else None, _said(message, model))
        before = key
    yield ImportedConversation(
        id=f"claude:{conversation_id}",
        where=where,
        messages=tree.messages(),
        current=tree.last_said(_current(record)),
        title=text(record.get("name")),
        project=text(mapping(record.get("project")).get("name")),
        at_us=time_us(record.get("created_at")),
    )


def _current(record: Json) -> str:
    """Return the message that is shown last: the one that says so, or the latest."""
    if leaf := text(record.get("current_leaf_message_uuid")):
        return leaf
    times = [
        (time_us(message.get("created_at")) or 0, number, text(message.get("uuid")))
        for number, message in enumerate(objects(record.get("chat_messages")))
    ]
    return max(times)[2] if times else ""


def _said(message: Json, model: str) -> list[ImportedMessage]:
    key, at_us = text(message.get("uuid")), time_us(message.get("created_at"))
    if message.get("sender") == "assistant":
        answer = ImportedMessage(
            key=key,
            parent=None,
            role="assistant",
            text="",
            at_us=at_us,
            model=text(message.get("model")) or model,
            backend=_BACKEND,
        )
        return messages_of(answer, _pieces(message))
    if message.get("sender") != "human":
        return []
    words = joined([_human_text(message), *_attached(message)])
    if not words:
        return []
    return [ImportedMessage(key=key, parent=None, role="user", text=words, at_us=at_us)]


def _human_text(message: Json) -> str:
    blocks = objects(message.get("content"))
    said = joined(text(block.get("text")) for block in blocks if block.get("type") == "text")
    return said or text(message.get("text"))


def _attached(message: Json) -> Iterator[str]:
    """Yield what was pasted, and the names of files."""
    for each in objects(message.get("attachments")):
        name = text(each.get("file_name"))
        yield f"[file: {name}]" if name else text(each.get("extracted_content"))
    for each in objects(message.get("files")):
        yield f"[file: {text(each.get('file_name')) or 'without a name'}]"


def _pieces(message: Json) -> Iterator[Piece]:
    blocks = objects(message.get("content"))
    if not blocks:
        yield text(message.get("text"))
    for number, block in enumerate(blocks):
        match block.get("type"):
            case "text":
                yield text(block.get("text"))
            case "tool_use":
                call_id = text(block.get("id")) or f"call_{number}"
                yield Call(call_id, text(block.get("name")), written(block.get("input")))
            case "tool_result":
                yield Result(text(block.get("tool_use_id")), result_text(block.get("content")))


def result_text(content: Any) -> str:
    """Return what a tool gave, in words."""
    if isinstance(content, str):
        return text(content)
    return joined(
        text(block.get("text")) or f"[{text(block.get('type'))}]" for block in objects(content)
    )
