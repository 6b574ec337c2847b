"""What a person keeps and forgets: the contract's messages to values and back."""

from __future__ import annotations

from lair.memory.v1 import memory_service_pb2 as memory
from memory_svc.forgetting import Topic
from memory_svc.kept import (
    Everything,
    Forgotten,
    Note,
    OneConversation,
    OneProject,
    Target,
    TheseMessages,
)
from memory_svc.wire import checked_id, from_passage
from svckit.errors import invalid_field
from svckit.times import to_timestamp

MAX_TEXT = 4000
MAX_IDS = 1000


def checked_text(text: str, *, required: bool) -> str:
    """Return the text without white space around it if it is short enough to keep."""
    if len(text) > MAX_TEXT:
        raise invalid_field(
            "text", f"text has {len(text)} characters; send at most {MAX_TEXT} of them"
        )
    if required and not text.strip():
        raise invalid_field("text", "text is empty; send what to remember")
    return text.strip()


def checked_project(project: str) -> str:
    """Return `project` if it is short enough to name one."""
    return checked_id("project", project, required=False)


def checked_message(message_id: int) -> int:
    """Return `message_id` if it can be a message's number."""
    if message_id <= 0:
        raise invalid_field("message_id", f"message_id is {message_id}; send a message's number")
    return message_id


def to_target(request: memory.ForgetRequest) -> Target | Topic:
    """Read what to forget."""
    match request.WhichOneof("target"):
        case "messages":
            return _to_messages(request.messages)
        case "conversation_id":
            return OneConversation(checked_id("conversation_id", request.conversation_id))
        case "project":
            return OneProject(checked_id("project", request.project))
        case "topic":
            return Topic(_checked_topic(request.topic))
        case "everything" if request.everything:
            return Everything()
        case "everything":
            raise invalid_field("everything", "everything is false; send true to forget all")
        case _:
            raise invalid_field(
                "target",
                "target is not set; send messages, conversation_id, project, topic or everything",
            )


def from_note(note: Note) -> memory.Note:
    """Write a note."""
    return memory.Note(
        message_id=note.message_id,
        conversation_id=note.conversation_id,
        text=note.text,
        project=note.project,
        pinned=note.pinned,
        create_time=to_timestamp(note.created_us),
        role=note.role,
    )


def from_forgotten(forgotten: Forgotten) -> memory.ForgetResponse:
    """Write how much is gone."""
    return memory.ForgetResponse(
        message_count=forgotten.messages,
        conversation_count=forgotten.conversations,
        note_count=forgotten.notes,
        recall_count=forgotten.recalls,
        passages=map(from_passage, forgotten.passages),
    )


def _to_messages(messages: memory.MessageIds) -> TheseMessages:
    if len(messages.ids) > MAX_IDS:
        raise invalid_field(
            "messages.ids",
            f"messages.ids has {len(messages.ids)} entries; send at most {MAX_IDS} at a time",
        )
    return TheseMessages(tuple(messages.ids))


def _checked_topic(topic: str) -> str:
    if not topic.strip():
        raise invalid_field("topic", "topic is empty; send words for what to forget")
    if len(topic) > MAX_TEXT:
        raise invalid_field(
            "topic", f"topic has {len(topic)} characters; send at most {MAX_TEXT} of them"
        )
    return topic
