"""Conversations and their messages as the JSON of `/memory/*`."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.dialects.usage import usage_json
from lair.memory.v1.conversation_pb2 import Conversation, StoredMessage
from svckit.chat_json import message_json


def conversation_json(conversation: Conversation) -> dict[str, Any]:
    """Write a conversation without its messages."""
    return {
        "id": conversation.id,
        "user_id": conversation.user_id,
        "project": conversation.project,
        "session_id": conversation.session_id,
        "title": conversation.title,
        "tags": list(conversation.tags),
        "metadata": MessageToDict(conversation.metadata),
        "created_at": rfc3339(conversation.create_time),
        "updated_at": rfc3339(conversation.update_time),
        "message_count": conversation.message_count,
        "token_count": conversation.token_count,
    }


def stored_message_json(stored: StoredMessage) -> dict[str, Any]:
    """Write a message as the chat API does, and beside it where it came from."""
    out = {"role": stored.message.role, "content": None, **message_json(stored.message)}
    out |= {"id": stored.id, "created_at": rfc3339(stored.create_time)}
    if stored.model:
        out |= {"model": stored.model, "backend": stored.backend}
    if stored.HasField("usage"):
        out["usage"] = usage_json(stored.usage)
    if stored.finish_reason:
        out["finish_reason"] = stored.finish_reason
    if stored.request_id:
        out["request_id"] = stored.request_id
    return out


def rfc3339(time: Timestamp) -> str | None:
    """Write a time as `2026-11-21T03:10:00Z`; None for the beginning of 1970, which is unset."""
    return time.ToJsonString() if time.seconds or time.nanos else None
