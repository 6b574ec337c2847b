"""The contract's messages to values and back; a field out of range is named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from lair.memory.v1 import conversation_pb2, conversation_service_pb2, recall_service_pb2
from memory_svc.conversations import MAX_ID
from memory_svc.model import (
    Conversation,
    ConversationFilter,
    Found,
    Message,
    Passage,
    Recall,
    Refusal,
    SearchFilter,
    Stats,
    StoredMessage,
    StoredTurn,
    Turn,
)
from memory_svc.packing import block
from memory_svc.recall import Prompt
from memory_svc.search import CHANNELS
from svckit.errors import invalid_field
from svckit.pages import decode_token
from svckit.recalled import message_without_recalled
from svckit.times import to_timestamp, to_us

MAX_TITLE = 1000
_MAX_INTEGER = 2**63 - 1  # SQLite's


def checked_id(field: str, value: str, *, required: bool = True) -> str:
    """Return `value` if it can name a conversation, a user or a request."""
    if required and not value:
        raise invalid_field(field, f"{field} is empty; send the id")
    if len(value) > MAX_ID:
        raise invalid_field(
            field, f"{field} has {len(value)} characters; send at most {MAX_ID} of them"
        )
    return value


def checked_title(title: str) -> str:
    """Return `title` if it is short enough to show."""
    if len(title) > MAX_TITLE:
        raise invalid_field(
            "title", f"title has {len(title)} characters; send at most {MAX_TITLE} of them"
        )
    return title


def to_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags in order, each once."""
    distinct = tuple(dict.fromkeys(tags))
    if "" in distinct:
        raise invalid_field("tags", "one of the tags is empty; leave it out")
    return distinct


def to_metadata(metadata: Struct) -> dict[str, object]:
    """Turn what a client keeps with a conversation into plain values."""
    try:
        return dict(MessageToDict(metadata))
    except (SerializeToJsonError, ValueError) as error:
        raise invalid_field(
            "metadata", f"metadata holds a number that JSON has no word for: {error}"
        ) from error


def to_position(token: str, parts: int) -> tuple[int, ...] | None:
    """Read a page token made of numbers; None for the first page."""
    place = decode_token(token, parts)
    if place is None:
        return None
    numbers = tuple(part for part in place if isinstance(part, int) and abs(part) <= _MAX_INTEGER)
    if len(numbers) != parts:
        raise invalid_field(
            "page_token", "page_token is not one that next_page_token gave; leave it empty"
        )
    return numbers


def to_turn(turn: conversation_pb2.Turn, default_user: str, now_us: int) -> Turn:
    """Read a turn; a time that is missing or in the future is now.

    What lair itself recalled into a prompt is not what anybody said, and is left out.
    """
    asked_us = to_us(turn.request_time) if turn.HasField("request_time") else now_us
    return Turn(
        request_id=turn.request_id,
        user_id=turn.caller.user_id or default_user,
        conversation_id=turn.conversation_id,
        messages=tuple(map(message_without_recalled, turn.messages)),
        at_us=min(max(asked_us, 0), now_us),
        parent_head=turn.parent_head,
        reply=_answer(turn.reply) if turn.HasField("reply") else None,
        project=turn.caller.project,
        session_id=turn.caller.session_id,
        model=turn.model,
        backend=turn.backend,
        usage=turn.usage if turn.HasField("usage") else None,
        generated_from_memory=turn.generated_from_memory,
        finish_reason=turn.finish_reason,
        endpoint=turn.endpoint,
        other_replies=tuple(map(_answer, turn.other_replies)),
        record=turn.record_json,
        after_request_id=turn.after_request_id,
        title=turn.conversation_title[:MAX_TITLE],
    )


def to_conversation_filter(
    request: conversation_service_pb2.ListConversationsRequest, user_id: str | None
) -> ConversationFilter:
    """Read which conversations to list; of all users if `user_id` is None."""
    start_us, end_us = _times(request)
    return ConversationFilter(
        user_id=user_id,
        project=request.project,
        session_id=request.session_id,
        title_query=request.title_query,
        tags=tuple(request.tags),
        start_us=start_us,
        end_us=end_us,
    )


def to_filter(where: recall_service_pb2.SearchFilter) -> SearchFilter:
    """Read which passages may be found."""
    start_us, end_us = _times(where, "filter.")
    return SearchFilter(
        project=where.project,
        session_id=where.session_id,
        conversation_id=where.conversation_id,
        exclude_conversation_id=where.exclude_conversation_id,
        roles=tuple(where.roles),
        start_us=start_us,
        end_us=end_us,
        tags=tuple(where.tags),
    )


def to_channels(channels: Sequence[str]) -> tuple[str, ...]:
    """Read how to look for passages; every way if none is named."""
    for channel in channels:
        if channel not in CHANNELS:
            known = " or ".join(CHANNELS)
            raise invalid_field("channels", f"channels has {channel!r}; send {known}")
    return tuple(channels) or CHANNELS


def from_conversation(conversation: Conversation) -> conversation_pb2.Conversation:
    """Write a conversation."""
    return conversation_pb2.Conversation(
        id=conversation.id,
        user_id=conversation.user_id,
        project=conversation.project,
        session_id=conversation.session_id,
        title=conversation.title,
        tags=conversation.tags,
        metadata=_struct(conversation.metadata),
        create_time=to_timestamp(conversation.created_us),
        update_time=to_timestamp(conversation.updated_us),
        message_count=conversation.message_count,
        token_count=conversation.token_count,
    )


def from_stored_message(stored: StoredMessage) -> conversation_pb2.StoredMessage:
    """Write a message as it is kept."""
    return conversation_pb2.StoredMessage(
        id=stored.id,
        parent_id=stored.parent_id,
        position=stored.position,
        message=stored.message,
        create_time=to_timestamp(stored.created_us),
        model=stored.model,
        backend=stored.backend,
        usage=stored.usage,
        request_id=stored.request_id,
        active=stored.active,
        finish_reason=stored.finish_reason,
    )


def from_stored_turn(turn: StoredTurn) -> conversation_pb2.StoredTurn:
    """Write a turn as it is kept."""
    return conversation_pb2.StoredTurn(
        user_id=turn.user_id,
        request_id=turn.request_id,
        conversation_id=turn.conversation_id,
        endpoint=turn.endpoint,
        create_time=to_timestamp(turn.created_us),
        input=map(from_stored_message, turn.input),
        reply=from_stored_message(turn.reply) if turn.reply else None,
        other_replies=turn.other_replies,
        record_json=turn.record,
    )


def from_stats(stats: Stats) -> conversation_service_pb2.GetStatsResponse:
    """Write how much is kept."""
    return conversation_service_pb2.GetStatsResponse(
        conversation_count=stats.conversations,
        message_count=stats.messages,
        user_message_count=stats.user_messages,
        assistant_message_count=stats.assistant_messages,
        token_count=stats.tokens,
        text_bytes=stats.text_bytes,
        first_time=None if stats.first_us is None else to_timestamp(stats.first_us),
        last_time=None if stats.last_us is None else to_timestamp(stats.last_us),
        user_count=stats.users,
    )


def from_refusal(refusal: Refusal) -> conversation_service_pb2.TurnRefusal:
    """Write why a turn was refused."""
    return conversation_service_pb2.TurnRefusal(
        request_id=refusal.request_id, message=refusal.message
    )


def from_found(found: Found) -> recall_service_pb2.SearchResponse:
    """Write what was found."""
    return recall_service_pb2.SearchResponse(
        passages=map(from_passage, found.passages), degraded=found.degraded
    )


def to_prompt(request: recall_service_pb2.RecallRequest, user_id: str) -> Prompt:
    """Read what something is to be recalled for."""
    if request.token_budget < 0:
        raise invalid_field(
            "token_budget", f"token_budget is {request.token_budget}; send 0 for the default"
        )
    return Prompt(
        user_id=user_id,
        messages=request.messages,
        where=to_filter(request.filter),
        project=request.project,
        token_budget=request.token_budget,
        request_id=checked_id("request_id", request.request_id, required=False),
    )


def from_recall(recall: Recall) -> recall_service_pb2.RecallResponse:
    """Write what was recalled."""
    return recall_service_pb2.RecallResponse(
        context=block(recall.quotes, recall.at_us),
        passages=[from_passage(quote.passage) for quote in recall.quotes],
        degraded=recall.degraded,
    )


def from_explained(recall: Recall) -> recall_service_pb2.ExplainResponse:
    """Write what was recalled, and out of what."""
    return recall_service_pb2.ExplainResponse(
        query=recall.query,
        candidates=map(from_passage, recall.candidates),
        context=block(recall.quotes, recall.at_us),
    )


def from_passage(passage: Passage) -> recall_service_pb2.Passage:
    """Write a passage."""
    return recall_service_pb2.Passage(
        message_id=passage.message_id,
        conversation_id=passage.conversation_id,
        conversation_title=passage.conversation_title,
        role=passage.role,
        text=passage.text,
        create_time=to_timestamp(passage.created_us),
        score=passage.score,
        lexical_score=passage.lexical_score,
        dense_score=passage.dense_score,
        pinned=passage.pinned,
        corrected=passage.corrected,
    )


def _answer(reply: Message) -> Message:
    """Return the reply as the assistant's, where a backend left its role out."""
    reply = message_without_recalled(reply)
    if reply.role:
        return reply
    answer = Message(role="assistant")
    answer.MergeFrom(reply)
    return answer


def _times(
    where: recall_service_pb2.SearchFilter | conversation_service_pb2.ListConversationsRequest,
    prefix: str = "",
) -> tuple[int | None, int | None]:
    """Read from when and before when; None where that is open."""
    start_us = _bound(where.start_time) if where.HasField("start_time") else None
    end_us = _bound(where.end_time) if where.HasField("end_time") else None
    if start_us is not None and end_us is not None and start_us > end_us:
        raise invalid_field(
            f"{prefix}end_time", f"{prefix}end_time is before {prefix}start_time; swap them"
        )
    return start_us, end_us


def _bound(time: Timestamp) -> int:
    return min(max(to_us(time), -_MAX_INTEGER), _MAX_INTEGER)


def _struct(values: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct
