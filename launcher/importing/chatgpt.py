"""ChatGPT's export: a list of conversations, each a `mapping` of nodes, with `current_node`.

Left out: instructions of any kind, thoughts, and what ChatGPT itself does not show.
"""

from __future__ import annotations

import re
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
from launcher.importing.tree import Tree
from launcher.importing.values import Json, joined, mapping, objects, shortened, text, time_us

_BACKEND = "chatgpt"
# Kinds of content that nobody said: what the person and ChatGPT note about themselves,
# what the model thought, and how long.
_NOT_SAID = {
    *("user_editable_context", "model_editable_context"),
    *("thoughts", "reasoning_recap"),
}
_TO_EVERYBODY = ("", "all")
# Marks of citations, between characters of no script or in brackets of their own.
_CITATION = re.compile("\ue200[^\ue201]*\ue201|[\ue200-\ue206]|【[^】]{0,40}†[^】]{0,80}】")
_PLACEHOLDERS = {
    "image_asset_pointer": "[image]",
    "video_container_asset_pointer": "[video]",
}


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
    nodes = record.get("mapping")
    conversation_id = text(record.get("conversation_id")) or text(record.get("id"))
    if not isinstance(nodes, dict) or not conversation_id:
        yield Malformed(where, "it has no conversation_id or no mapping of messages")
        return
    tree = Tree()
    model = text(record.get("default_model_slug")) or _BACKEND
    for key, node in nodes.items():
        if not isinstance(node, dict):
            yield Malformed(where, f"the node {key} is no object")
            continue
        message = _message(f"{conversation_id}/{key}", node, nodes, model)
        tree.add(key, node.get("parent"), (message,) if message else ())
    yield ImportedConversation(
        id=f"chatgpt:{conversation_id}",
        where=where,
        messages=tree.messages(),
        current=tree.last_said(text(record.get("current_node"))),
        title=text(record.get("title")),
        at_us=time_us(record.get("create_time")),
    )


def _message(key: str, node: Json, nodes: Json, model: str) -> ImportedMessage | None:
    """Return what was said in a node; None if nothing was."""
    message = mapping(node.get("message"))
    role = mapping(message.get("author")).get("role")
    content, facts = mapping(message.get("content")), mapping(message.get("metadata"))
    hidden = facts.get("is_visually_hidden_from_conversation") or facts.get(
        "is_user_system_message"
    )
    if hidden or content.get("content_type") in _NOT_SAID:
        return None
    words, at_us = _words(content), time_us(message.get("create_time"))
    if role == "user":
        said = joined([words, *_attachments(facts)])
        return (
            ImportedMessage(key=key, parent=None, role="user", text=said, at_us=at_us)
            if said
            else None
        )
    if role == "tool":
        call = _call_before(node, nodes)
        result = ImportedMessage(
            key=key, parent=None, role="tool", text=shortened(words), at_us=at_us, call_id=call
        )
        return result if call else None
    if role != "assistant" or not words.strip():
        return None
    recipient = _recipient(message)
    calls = recipient not in _TO_EVERYBODY
    return ImportedMessage(
        key=key,
        parent=None,
        role="assistant",
        text="" if calls else words,
        calls=(Call(text(message.get("id")) or key, recipient, words),) if calls else (),
        at_us=at_us,
        model=text(facts.get("model_slug")) or model,
        backend=_BACKEND,
    )


def _recipient(message: Json) -> str:
    return text(message.get("recipient"))


def _call_before(node: Json, nodes: Json) -> str:
    """Return the id of the call that a tool's message answers; '' if it answers none."""
    seen: set[str] = set()
    key = text(node.get("parent"))
    while key not in seen:
        seen.add(key)
        before = mapping(nodes.get(key))
        message = mapping(before.get("message"))
        role = mapping(message.get("author")).get("role")
        if role == "assistant" and _recipient(message) not in _TO_EVERYBODY:
            return text(message.get("id")) or key
        if role != "tool":
            break
        key = text(before.get("parent"))
    return ""


def _words(content: Json) -> str:
    """Return what a content says in words, whatever its type."""
    parts = content.get("parts")
    if isinstance(parts, list):
        said = joined(_part(part) for part in parts)
    else:
        said = text(content.get("text")) or text(content.get("result"))
    return _CITATION.sub("", said)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return text(part)
    kind = mapping(part).get("content_type")
    return _PLACEHOLDERS.get(str(kind), "") or text(mapping(part).get("text"))


def _attachments(facts: Json) -> list[str]:
    names = (text(each.get("name")) for each in objects(facts.get("attachments")))
    return [f"[file: {name}]" for name in names if name]
