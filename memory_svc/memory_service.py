"""MemoryService: what a person tells lair to remember, to pin, to correct and to forget."""

from __future__ import annotations

from typing import Any

from lair.memory.v1 import memory_service_pb2 as memory
from lair.memory.v1.memory_service_pb2_grpc import MemoryServiceServicer
from memory_svc import memory_wire as wire
from memory_svc.forgetting import Forgetting
from memory_svc.kept import NewNote, NoteFilter
from memory_svc.notes import Notes
from memory_svc.wire import checked_id, to_position
from svckit.pages import encode_token, page_size


class MemoryService(MemoryServiceServicer):
    """Keeps, corrects and forgets for one user at a time."""

    def __init__(self, notes: Notes, forgetting: Forgetting, *, default_user: str) -> None:
        self._notes = notes
        self._forgetting = forgetting
        self._default_user = default_user

    async def Remember(self, request: memory.RememberRequest, _: Any) -> memory.RememberResponse:
        """Keep a text that its user wrote."""
        note = await self._notes.remember(
            self._user(request.user_id),
            NewNote(
                text=wire.checked_text(request.text, required=True),
                project=wire.checked_project(request.project),
                pinned=request.pinned,
            ),
        )
        return memory.RememberResponse(note=wire.from_note(note))

    async def ListNotes(self, request: memory.ListNotesRequest, _: Any) -> memory.ListNotesResponse:
        """List notes and pinned messages, the latest first."""
        size = page_size(request.page_size, default=100, maximum=1000)
        place = to_position(request.page_token, 2)
        listed = await self._notes.page(
            self._user(request.user_id),
            NoteFilter(wire.checked_project(request.project), pinned_only=request.pinned_only),
            (place[0], place[1]) if place else None,
            size + 1,
        )
        shown = listed[:size]
        more = len(listed) > size
        return memory.ListNotesResponse(
            notes=map(wire.from_note, shown),
            next_page_token=encode_token(shown[-1].created_us, shown[-1].message_id)
            if more
            else "",
        )

    async def PinMessage(
        self, request: memory.PinMessageRequest, _: Any
    ) -> memory.PinMessageResponse:
        """Put a message into every recall of its scope, or no longer."""
        user_id = self._user(request.user_id)
        message_id = wire.checked_message(request.message_id)
        if request.unpin:
            note = await self._notes.unpin(user_id, message_id)
        else:
            project = wire.checked_project(request.project)
            note = await self._notes.pin(user_id, message_id, project)
        return memory.PinMessageResponse(note=wire.from_note(note))

    async def CorrectMessage(
        self, request: memory.CorrectMessageRequest, _: Any
    ) -> memory.CorrectMessageResponse:
        """Change what is found and recalled of a message."""
        note = await self._notes.correct(
            self._user(request.user_id),
            wire.checked_message(request.message_id),
            wire.checked_text(request.text, required=False),
        )
        return memory.CorrectMessageResponse(note=wire.from_note(note))

    async def Forget(self, request: memory.ForgetRequest, _: Any) -> memory.ForgetResponse:
        """Delete what was remembered and all that was derived from it."""
        forgotten = await self._forgetting.forget(
            self._user(request.user_id), wire.to_target(request), preview=request.preview
        )
        return wire.from_forgotten(forgotten)

    def _user(self, user_id: str) -> str:
        return checked_id("user_id", user_id, required=False) or self._default_user
