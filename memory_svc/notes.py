"""What can be done with notes: write them, list them, pin and correct messages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

from memory_svc.conversations import MAX_ID
from memory_svc.kept import NewNote, Note, NoteFilter
from memory_svc.storage.base import MemoryStore
from svckit.errors import ServiceError
from svckit.times import now_us

# No client calls a conversation so by accident. One that does talks in a conversation that
# has notes in it.
_CONVERSATION = "lair:notes"
T = TypeVar("T")


class Notes:
    """The use cases over one store; `on_changed` is called after there is more to index."""

    def __init__(self, store: MemoryStore, *, on_changed: Callable[[], None]) -> None:
        self._store = store
        self._on_changed = on_changed

    async def remember(self, user_id: str, new: NewNote) -> Note:
        """Keep a note; return it as it is stored."""
        conversation_id = notes_conversation(new.project)
        note = await self._store.remember(user_id, conversation_id, new, now_us())
        self._on_changed()
        return note

    async def page(
        self, user_id: str, where: NoteFilter, after: tuple[int, int] | None, limit: int
    ) -> list[Note]:
        """List notes and pinned messages, the latest first."""
        return await self._store.notes(user_id, where, after, limit)

    async def pin(self, user_id: str, message_id: int, project: str) -> Note:
        """Put a message into every recall of a project, '' for all."""
        return _existing(await self._store.pin(user_id, message_id, project), message_id)

    async def unpin(self, user_id: str, message_id: int) -> Note:
        """Take a message out of recalls that it is in whatever is asked."""
        return _existing(await self._store.pin(user_id, message_id, None), message_id)

    async def correct(self, user_id: str, message_id: int, text: str) -> Note:
        """Let a text stand for what a message says, '' for what was said."""
        note = _existing(await self._store.correct(user_id, message_id, text), message_id)
        self._on_changed()
        return note


def notes_conversation(project: str) -> str:
    """Return the id of the conversation that a project's notes are in; '' for those of all."""
    if not project:
        return _CONVERSATION
    named = f"{_CONVERSATION}:{project}"
    if len(named) <= MAX_ID:
        return named
    return f"{_CONVERSATION}:{hashlib.blake2b(project.encode(), digest_size=16).hexdigest()}"


def _existing(found: T | None, message_id: int) -> T:
    if found is None:
        raise ServiceError(
            "MESSAGE_NOT_FOUND",
            f"this user has no message {message_id}",
            message_id=str(message_id),
        )
    return found
