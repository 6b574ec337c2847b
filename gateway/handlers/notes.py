"""/memory/notes, PATCH /memory/messages: what people write down, pin and correct."""

from __future__ import annotations

from aiohttp import web
from msgspec import UNSET

from gateway.bodies import parsed
from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.rest_notes import note_json, note_page_json
from gateway.dialects.rest_queries import MessageChange, NewNote, NoteQuery
from gateway.dialects.rest_reading import read_body, read_query
from gateway.handlers.replies import hinting_at_users, json_reply, narrowed_user, path_message_id
from lair.memory.v1.memory_service_pb2 import (
    CorrectMessageRequest,
    ListNotesRequest,
    Note,
    PinMessageRequest,
    RememberRequest,
)
from svckit.errors import invalid_field


async def list_notes(request: web.Request) -> web.Response:
    """List notes and pinned messages, the latest first; of one user, by default the default one."""
    query = read_query(request.query.items(), NoteQuery)
    page = await ask(
        "memory",
        request.app[CLIENTS].memory.ListNotes,
        ListNotesRequest(
            user_id=narrowed_user(request),
            project=query.project,
            pinned_only=query.pinned,
            page_size=query.limit,
            page_token=query.page_token,
        ),
        request_id=request_id_of(request),
    )
    return json_reply(note_page_json(page))


async def add_note(request: web.Request) -> web.Response:
    """Remember a text, which every recall of its scope begins with if it is pinned."""
    user_id = narrowed_user(request)
    new = await parsed(request, _read_new)
    kept = await ask(
        "memory",
        request.app[CLIENTS].memory.Remember,
        RememberRequest(user_id=user_id, text=new.text, project=new.project, pinned=new.pinned),
        request_id=request_id_of(request),
    )
    return json_reply(note_json(kept.note), status=201)


async def change_message(request: web.Request) -> web.Response:
    """Pin, unpin or correct a message; another user's needs that user's name.

    A correction changes what is found and recalled; the conversation keeps what was said.
    """
    user_id, message_id = narrowed_user(request), path_message_id(request)
    change = await parsed(request, _read_change)
    if change.pinned is UNSET and change.text is UNSET:
        raise invalid_field("pinned", "nothing is to change; send pinned, text or both")
    if change.project is not UNSET and not change.pinned:
        raise invalid_field("project", "project goes with pinned: true; leave it out")
    with hinting_at_users(user_id):
        # Both at once are two steps: what could be refused of them is refused before.
        if change.text is not UNSET:
            note = await _correct(request, user_id, message_id, change.text)
        if change.pinned is not UNSET:
            note = await _pin(request, user_id, message_id, change)
    return json_reply(note_json(note))


async def _correct(request: web.Request, user_id: str, message_id: int, text: str) -> Note:
    corrected = await ask(
        "memory",
        request.app[CLIENTS].memory.CorrectMessage,
        CorrectMessageRequest(user_id=user_id, message_id=message_id, text=text),
        request_id=request_id_of(request),
    )
    return corrected.note


async def _pin(request: web.Request, user_id: str, message_id: int, change: MessageChange) -> Note:
    pinned = await ask(
        "memory",
        request.app[CLIENTS].memory.PinMessage,
        PinMessageRequest(
            user_id=user_id,
            message_id=message_id,
            project=change.project or "",
            unpin=not change.pinned,
        ),
        request_id=request_id_of(request),
    )
    return pinned.note


def _read_new(body: bytes) -> NewNote:
    return read_body(body, NewNote)


def _read_change(body: bytes) -> MessageChange:
    return read_body(body, MessageChange)
