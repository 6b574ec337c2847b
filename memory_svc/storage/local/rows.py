"""Rows to values and back.

A message's text stands in a column of its own, for the full-text index; the rest
of the message is kept as contract bytes, from which the text is cut out, so that nothing
is kept twice. Whatever is long is compressed (`compressing.py`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import aiosqlite

from memory_svc.model import Conversation, Message, PathNode, StoredMessage, Usage
from memory_svc.storage.local.compressing import packed_message, plain_message, plain_text
from memory_svc.storage.local.request_ids import plain_id
from memory_svc.tree import text_of


def split_message(message: Message) -> tuple[str | None, bytes]:
    """Return what a message says, and its column `body`, which holds the rest.

    In a body with parts the text of each has its length in its place.
    """
    text = text_of(message)
    if not message.HasField("text") and not text:
        return None, packed_message(message)
    rest = Message()
    rest.CopyFrom(message)
    if message.HasField("text"):
        rest.ClearField("text")
    for part in rest.parts.parts:
        if part.HasField("text"):
            part.text = str(len(part.text))
    return text, packed_message(rest)


def join_message(text: str | bytes | None, body: bytes) -> Message:
    """Return the message of the columns `text` and `body`."""
    message, said = plain_message(body), plain_text(text)
    if said is None:
        return message
    if not message.HasField("parts"):
        message.text = said
        return message
    for part in message.parts.parts:
        if part.HasField("text"):
            length = int(part.text)
            # They were joined by line ends.
            part.text, said = said[:length], said[length + 1 :]
    return message


async def first_row(
    tx: aiosqlite.Connection, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
) -> sqlite3.Row | None:
    """Return the first row of a query that has few, None if it has none."""
    # All at once, for each call waits for the connection's thread.
    rows = await tx.execute_fetchall(sql, parameters)
    return next(iter(rows), None)


def to_conversation(row: sqlite3.Row) -> Conversation:
    """Read a row of the conversation queries."""
    return Conversation(
        key=row["key"],
        user_id=row["user_id"],
        id=row["id"],
        project=row["project"],
        session_id=row["session_id"],
        title=row["title"],
        tags=tuple(json.loads(row["tags"])),
        metadata=json.loads(row["metadata"]),
        created_us=row["created_us"],
        updated_us=row["updated_us"],
        message_count=row["message_count"],
        token_count=row["token_count"],
    )


def to_stored_message(row: sqlite3.Row) -> StoredMessage:
    """Read a row of the message queries."""
    return StoredMessage(
        id=row["id"],
        parent_id=row["parent"],
        position=row["position"],
        message=join_message(row["text"], row["body"]),
        created_us=row["created_us"],
        model=row["model"],
        backend=row["backend"],
        usage=to_usage(row["usage"]),
        request_id=plain_id(row["request_id"]),
        finish_reason=row["finish_reason"],
        active=bool(row["active"]),
    )


def to_path_node(row: sqlite3.Row) -> PathNode:
    """Read a row of the path queries."""
    message = join_message(row["text"], row["body"])
    return PathNode(row["hash"], message, row["finish_reason"])


def to_usage(column: bytes | None) -> Usage | None:
    """Read the column `usage`."""
    return None if column is None else Usage.FromString(column)
