"""Rows to values and back.

A message's text stands in a column of its own, for the full-text index; the rest
of the message is kept as contract bytes. A plain text is cut out of those bytes,
so that nothing is kept twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import aiosqlite

from memory_svc.model import Conversation, Message, PathNode, StoredMessage, Usage
from memory_svc.tree import text_of


def split_message(message: Message) -> tuple[str | None, bytes]:
    """Return the columns `text` and `body`."""
    if message.HasField("parts"):
        return text_of(message) or None, message.SerializeToString()
    if not message.HasField("text"):
        return None, message.SerializeToString()
    rest = Message()
    rest.CopyFrom(message)
    rest.ClearField("text")
    return message.text, rest.SerializeToString()


def join_message(text: str | None, body: bytes) -> Message:
    """Undo `split_message`."""
    message = Message.FromString(body)
    if text is not None and not message.HasField("parts"):
        message.text = text
    return message


async def first_row(
    tx: aiosqlite.Connection, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
) -> sqlite3.Row | None:
    """Return the first row of a query, None if it has none."""
    async with tx.execute(sql, parameters) as cursor:
        return await cursor.fetchone()


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
        request_id=row["request_id"],
        finish_reason=row["finish_reason"],
        active=bool(row["active"]),
    )


def to_path_node(row: sqlite3.Row) -> PathNode:
    """Read a row of the path queries."""
    return PathNode(row["hash"], join_message(row["text"], row["body"]))


def to_usage(column: bytes | None) -> Usage | None:
    """Read the column `usage`."""
    return None if column is None else Usage.FromString(column)
