"""Conversations in OpenAI's terms, one in each line: `{"messages": [...]}`.

Beside `messages` a line may have `id`, `title`, `created_at`, `model`, `user`, `project` and
`session_id`; a message `created_at`, `model` and `usage`. System messages are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from launcher.importing.conversation import (
    NOTHING_KNOWN,
    Call,
    Imported,
    ImportedConversation,
    ImportedMessage,
    Malformed,
    Role,
    Spent,
)
from launcher.importing.source import Source, file_part, json_lines
from launcher.importing.values import (
    Json,
    joined,
    mapping,
    number,
    objects,
    shortened,
    text,
    time_us,
    written,
)

_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_INSTRUCTIONS = ("system", "developer")


def read(source: Source) -> Iterator[Imported]:
    """Yield the conversation of each line."""
    for each in json_lines(file_part(source.path), source.meter):
        if isinstance(each, Malformed):
            yield each
        else:
            yield from _conversation(*each)


def _conversation(where: str, record: Json) -> Iterator[Imported]:
    listed = record.get("messages")
    if not isinstance(listed, list) or not listed:
        yield Malformed(where, 'it has no "messages"')
        return
    conversation_id = _id(record, listed)
    model, said = text(record.get("model")), list[ImportedMessage]()
    digest = hashlib.blake2b(conversation_id.encode(), digest_size=12)
    for number_, each in enumerate(listed, 1):
        message = mapping(each)
        role = message.get("role")
        if role in _INSTRUCTIONS:
            continue
        if role not in _ROLES:
            yield Malformed(where, f"its message {number_} has no role that is known")
            continue
        # What was said up to a message names it, so that a file that has grown adds the rest.
        digest.update(written([role, message.get("content"), message.get("tool_calls")]).encode())
        before = said[-1].key if said else None
        spoken = _message(digest.hexdigest(), before, message, model)
        if spoken.text or spoken.calls or spoken.role == "tool":
            said.append(spoken)
    yield ImportedConversation(
        id=f"jsonl:{conversation_id}",
        where=where,
        messages=tuple(said),
        title=text(record.get("title")),
        project=text(record.get("project")),
        session=text(record.get("session_id")),
        user=text(record.get("user")),
        at_us=time_us(record.get("created_at")),
    )


def _id(record: Json, messages: list[Any]) -> str:
    """Return the conversation's id; made of all that was said where it has none."""
    given = record.get("id")
    if isinstance(given, str | int) and str(given):
        return text(str(given))
    said = json.dumps([messages, record.get("created_at")], sort_keys=True)
    return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()


def _message(key: str, parent: str | None, message: Json, model: str) -> ImportedMessage:
    role = _ROLES[str(message.get("role"))]
    words = _words(message.get("content"))
    answers = role == "assistant"
    return ImportedMessage(
        key=key,
        parent=parent,
        role=role,
        text=shortened(words) if role == "tool" else words,
        at_us=time_us(message.get("created_at")) or time_us(message.get("timestamp")),
        calls=tuple(_calls(key, message)) if answers else (),
        call_id=text(message.get("tool_call_id")) or text(message.get("name"))
        if role == "tool"
        else "",
        model=(text(message.get("model")) or model) if answers else "",
        spent=_spent(mapping(message.get("usage"))) if answers else NOTHING_KNOWN,
    )


def _words(content: Any) -> str:
    if isinstance(content, str):
        return text(content)
    return joined(
        "[image]" if part.get("type") == "image_url" else text(part.get("text"))
        for part in objects(content)
    )


def _calls(key: str, message: Json) -> Iterator[Call]:
    for place, call in enumerate(objects(message.get("tool_calls"))):
        function = mapping(call.get("function"))
        call_id = text(call.get("id")) or f"{key}/{place}"
        yield Call(call_id, text(function.get("name")), written(function.get("arguments") or ""))


def _spent(usage: Json) -> Spent:
    prompt, completion = number(usage.get("prompt_tokens")), number(usage.get("completion_tokens"))
    return Spent(prompt=prompt, completion=completion)
