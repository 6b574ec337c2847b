"""What people have lair keep, and what they had it forget, as the JSON of `/memory/*`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.dialects.rest_conversations import Passage, passage_json
from gateway.dialects.rest_types import Count, Time, rfc3339
from lair.memory.v1 import memory_service_pb2


class Note(Struct, frozen=True):
    """Something that its user wrote down, or a message that is pinned or was corrected."""

    message_id: int
    conversation_id: str
    text: str
    project: Annotated[str, Meta(description="Whose recalls it is in; empty for all.")]
    pinned: Annotated[bool, Meta(description="It is in every recall of its scope.")]
    role: str
    created_at: Time | None


class NotePage(Struct, frozen=True):
    """Notes and pinned messages, the latest first."""

    notes: list[Note]
    next_page_token: str | None


class DeletedMessage(Struct, frozen=True):
    """A message that was forgotten."""

    id: int
    object: str
    deleted: bool


class Forgotten(Struct, frozen=True):
    """What was forgotten, or would be."""

    preview: Annotated[bool, Meta(description="Nothing was changed.")]
    messages: Annotated[int, Meta(ge=0, description="Those of abandoned branches as well.")]
    conversations: Annotated[int, Meta(ge=0, description="Those that are gone whole.")]
    notes: Annotated[int, Meta(ge=0, description="Notes among the messages.")]
    recalls: Count
    passages: Annotated[
        list[Passage], Meta(description="What a topic is about, best first; else empty.")
    ]


def note_json(note: memory_service_pb2.Note) -> Note:
    """Write a note."""
    return Note(
        message_id=note.message_id,
        conversation_id=note.conversation_id,
        text=note.text,
        project=note.project,
        pinned=note.pinned,
        role=note.role,
        created_at=rfc3339(note.create_time),
    )


def note_page_json(page: memory_service_pb2.ListNotesResponse) -> NotePage:
    """Write a page of notes."""
    return NotePage(
        notes=[note_json(note) for note in page.notes],
        next_page_token=page.next_page_token or None,
    )


def forgotten_json(done: memory_service_pb2.ForgetResponse, *, preview: bool) -> Forgotten:
    """Write what was forgotten, or would be."""
    return Forgotten(
        preview=preview,
        messages=done.message_count,
        conversations=done.conversation_count,
        notes=done.note_count,
        recalls=done.recall_count,
        passages=[passage_json(passage) for passage in done.passages],
    )
