"""What is remembered, as the JSON of `/memory/*`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from google.protobuf.json_format import MessageToDict
from msgspec import Meta, Struct

from gateway.dialects.rest_types import Count, Time, rfc3339
from gateway.dialects.usage import usage_json
from lair.memory.v1 import conversation_pb2, conversation_service_pb2, recall_service_pb2
from svckit.chat_json import message_json

# What stands beside a message; a client's own field of such a name is not shown.
_ORIGIN = frozenset(
    ("id", "created_at", "model", "backend", "usage", "finish_reason", "request_id")
)

Message = Annotated[
    dict[str, Any],
    Meta(
        title="StoredMessage",
        description="A message as the chat API writes it, and beside it where it came from.",
        extra_json_schema={
            "properties": {
                "id": {"type": "integer"},
                "role": {"type": "string"},
                "content": {"type": ["string", "array", "null"]},
                "created_at": {"type": ["string", "null"], "format": "date-time"},
                "model": {"type": "string"},
                "backend": {"type": "string"},
                "usage": {"type": "object"},
                "finish_reason": {"type": "string"},
                "request_id": {"type": "string"},
            },
            "required": ["id", "role", "content", "created_at"],
        },
    ),
]


class Conversation(Struct, frozen=True):
    """A chat that is remembered, without its messages."""

    id: str
    user_id: str
    project: str
    session_id: str
    title: str
    tags: list[str]
    metadata: dict[str, Any]
    created_at: Time | None
    updated_at: Time | None
    message_count: Count
    token_count: Annotated[int, Meta(ge=0, description="Prompts and answers of its requests.")]


class WholeConversation(Conversation, frozen=True):
    """A chat that is remembered, with all its messages, oldest first."""

    messages: list[Message]


class ConversationPage(Struct, frozen=True):
    """Conversations, the most recently changed first."""

    conversations: list[Conversation]
    next_page_token: str | None
    total_count: Annotated[int, Meta(ge=0, description="How many there are on all pages.")]


class DeletedConversation(Struct, frozen=True):
    """What was forgotten."""

    id: str
    object: str
    deleted: bool
    deleted_messages: Count


class Passage(Struct, frozen=True):
    """A message that was found."""

    message_id: int
    conversation_id: str
    conversation_title: str
    role: str
    text: str
    created_at: Time | None
    score: Annotated[float, Meta(description="How well it fits, 0 to 1.")]
    lexical_score: Annotated[float, Meta(description="How well its words fit.")] | None
    dense_score: Annotated[float, Meta(description="How well its meaning fits.")] | None
    pinned: Annotated[bool, Meta(description="It is in every recall of its scope.")]
    corrected: Annotated[bool, Meta(description="Its user corrected it: this was not said.")]


class Found(Struct, frozen=True):
    """Passages, best first."""

    passages: list[Passage]
    degraded: Annotated[str, Meta(description="What was not searched, and why.")] | None


class Recall(Struct, frozen=True):
    """What was recalled for a request, and out of what."""

    query: Annotated[str, Meta(description="What was looked for.")]
    candidates: list[Passage]
    context: Annotated[str, Meta(description="What went into the prompt; empty if nothing did.")]


class MemoryIndex(Struct, frozen=True):
    """How far the index of meanings is; its counts, which are everybody's, only for admins."""

    model: str
    state: Annotated[str, Meta(description="`loading`, `ready`, `failed` or `off`.")]
    error: str | None
    indexed: Annotated[Count | None, Meta(description="Messages whose meaning can be searched.")]
    pending: Annotated[Count | None, Meta(description="Messages that wait to be indexed.")]
    failed: Annotated[
        Count | None, Meta(description="Messages that cannot be: they are found by words only.")
    ]
    failure: Annotated[str, Meta(description="Why the latest of them cannot be.")] | None


class Stats(Struct, frozen=True):
    """How much is remembered, and how far the index of it is."""

    users: Count
    conversations: Count
    messages: Count
    user_messages: Annotated[int, Meta(ge=0, description="Those that people wrote.")]
    assistant_messages: Annotated[int, Meta(ge=0, description="Those that models wrote.")]
    tokens: Count
    text_bytes: Count
    first_at: Annotated[Time, Meta(description="When the oldest conversation began.")] | None
    last_at: Annotated[Time, Meta(description="When a conversation last changed.")] | None
    index: MemoryIndex


def conversation_json(conversation: conversation_pb2.Conversation) -> Conversation:
    """Write a conversation without its messages."""
    return Conversation(
        id=conversation.id,
        user_id=conversation.user_id,
        project=conversation.project,
        session_id=conversation.session_id,
        title=conversation.title,
        tags=list(conversation.tags),
        metadata=MessageToDict(conversation.metadata),
        created_at=rfc3339(conversation.create_time),
        updated_at=rfc3339(conversation.update_time),
        message_count=conversation.message_count,
        token_count=conversation.token_count,
    )


def whole_conversation_json(
    conversation: conversation_pb2.Conversation, messages: Iterable[conversation_pb2.StoredMessage]
) -> WholeConversation:
    """Write a conversation with its messages."""
    return WholeConversation(
        **msgspec.structs.asdict(conversation_json(conversation)),
        messages=[stored_message_json(message) for message in messages],
    )


def stored_message_json(stored: conversation_pb2.StoredMessage) -> dict[str, Any]:
    """Write a message as the chat API does, and beside it where it came from."""
    sent = message_json(stored.message)
    out = {"content": None, **{name: sent[name] for name in sent if name not in _ORIGIN}}
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


def found_json(found: recall_service_pb2.SearchResponse) -> Found:
    """Write what a search found."""
    return Found(
        passages=[passage_json(passage) for passage in found.passages],
        degraded=found.degraded or None,
    )


def passage_json(passage: recall_service_pb2.Passage) -> Passage:
    """Write a message that was found."""
    return Passage(
        message_id=passage.message_id,
        conversation_id=passage.conversation_id,
        conversation_title=passage.conversation_title,
        role=passage.role,
        text=passage.text,
        created_at=rfc3339(passage.create_time),
        score=passage.score,
        lexical_score=passage.lexical_score if passage.HasField("lexical_score") else None,
        dense_score=passage.dense_score if passage.HasField("dense_score") else None,
        pinned=passage.pinned,
        corrected=passage.corrected,
    )


def recall_json(told: recall_service_pb2.ExplainResponse) -> Recall:
    """Write what was recalled for a request."""
    return Recall(
        query=told.query,
        candidates=[passage_json(passage) for passage in told.candidates],
        context=told.context,
    )


def index_json(
    index: recall_service_pb2.GetIndexStatusResponse, *, with_counts: bool = True
) -> MemoryIndex:
    """Write how far the index is, with its counts or without."""
    return MemoryIndex(
        model=index.model,
        state=index.model_state,
        error=index.model_error or None,
        indexed=index.indexed_count if with_counts else None,
        pending=index.pending_count if with_counts else None,
        failed=index.failed_count if with_counts else None,
        failure=(index.failure or None) if with_counts else None,
    )


def stats_json(stats: conversation_service_pb2.GetStatsResponse, index: MemoryIndex) -> Stats:
    """Write how much is kept."""
    return Stats(
        users=stats.user_count,
        conversations=stats.conversation_count,
        messages=stats.message_count,
        user_messages=stats.user_message_count,
        assistant_messages=stats.assistant_message_count,
        tokens=stats.token_count,
        text_bytes=stats.text_bytes,
        first_at=rfc3339(stats.first_time),
        last_at=rfc3339(stats.last_time),
        index=index,
    )
