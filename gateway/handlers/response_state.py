"""What a response continues, and what is kept of it.

A response that is kept belongs to a conversation. The router puts that one's past in front
of the new messages. Where it cannot do so as this API wants it, the past is put in front
here: of a response that is not kept, and where the earlier instructions must not come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from gateway.clients import ask
from gateway.context import CLIENTS, SETTINGS, request_id_of
from gateway.dialects.responses_ids import (
    CONVERSATION,
    RESPONSE,
    digits_of,
    parse_item_id,
    request_of,
)
from gateway.dialects.responses_input import Reference, joined, referred
from gateway.dialects.responses_object import ENDPOINT, Asked, record_of
from gateway.dialects.responses_request import ResponsesBody
from gateway.handlers import chat
from gateway.handlers.calls import join_conversation
from gateway.policies import forbids_memory
from gateway.recent import settled
from gateway.turns import find_turn
from lair.common.v1.chat_pb2 import Message
from lair.memory.v1.conversation_pb2 import StoredTurn
from lair.memory.v1.conversation_service_pb2 import GetHistoryRequest
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_FULL,
    MEMORY_POLICY_STORE,
    MEMORY_POLICY_UNSPECIFIED,
    ChatCall,
    MemoryPolicy,
)
from svckit.errors import ServiceError, invalid_field
from svckit.logging import get_logger

log = get_logger(__name__)

_HEAD = ("system", "developer")
_KEEPING = (MEMORY_POLICY_UNSPECIFIED, MEMORY_POLICY_STORE, MEMORY_POLICY_FULL)
_DOWN = ("SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that is ready to be sent, and its request as the response shows it."""

    call: ChatCall
    asked: Asked


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request goes on: after a turn of a conversation, or at its end."""

    conversation_id: str = ""
    after_request_id: str = ""


@dataclass(frozen=True, slots=True)
class _Past:
    """A conversation's past: what earlier input says to all of it, and what was said."""

    lasting: tuple[Message, ...] = ()
    said: tuple[Message, ...] = ()
    # Whether it begins with the instructions of an earlier response.
    instructed: bool = False


async def prepare(request: web.Request, body: ResponsesBody) -> Prepared:
    """Make the call of a request. Raises INVALID_FIELD for what cannot be continued."""
    call = body.call
    asked_for = MEMORY_POLICY_UNSPECIFIED if body.store else MemoryPolicy.MEMORY_POLICY_OFF
    call.memory.policy = asked_for
    call.memory.conversation_id = body.conversation_id
    own = joined(body.pieces)
    call.messages.extend(_begun_by(body.instructions, own))
    chat.address(request, call, ENDPOINT)
    own = await _with_references(request, body, call) or own
    place = await _place(request, body, call)
    kept = _is_kept(request, call)
    must = not kept or bool(place.after_request_id)
    past = await _past(request, call, place, own, must=must)
    _fill(call, body, own, past, place=place, kept=kept)
    join_conversation(call)
    asked = Asked(
        request_id=call.request_id,
        shown=body.shown,
        conversation_id=call.memory.conversation_id,
        custom_tools=body.custom_tools,
        sealed=body.sealed,
        input_count=len(own),
    )
    if kept:
        call.memory.record_json = record_of(asked)
    if not call.messages:
        raise invalid_field("input", "input holds nothing that a model could answer; send a text")
    return Prepared(call, asked)


async def find_response(
    request: web.Request, name: str, *, user_id: str | None = None
) -> StoredTurn:
    """Return the turn of a response that was kept. Raises TURN_NOT_FOUND."""
    request_id = request_of(name, RESPONSE)
    if request_id:
        try:
            turn = await find_turn(request, request_id, user_id=user_id)
        except ServiceError as error:
            if error.reason != "TURN_NOT_FOUND":
                raise
        else:
            if turn.endpoint == ENDPOINT:
                return turn
    raise ServiceError(
        "TURN_NOT_FOUND",
        f"there is no response {name!r}; one with store: false is not kept",
        request_id=request_id or name,
    )


def _begun_by(instructions: str, messages: Iterable[Message]) -> list[Message]:
    head = [Message(role="system", text=instructions)] if instructions else []
    return [*head, *messages]


async def _with_references(
    request: web.Request, body: ResponsesBody, call: ChatCall
) -> list[Message]:
    """Return the input with what its items refer to; empty where they refer to nothing."""
    names = {piece.id for piece in body.pieces if isinstance(piece, Reference)}
    found: dict[str, Message] = {}
    turns: dict[str, StoredTurn | None] = {}
    for name in names:
        item = parse_item_id(name)
        if item is None or not item.request_id or forbids_memory(request, call.caller.project):
            continue
        if item.request_id not in turns:
            turns[item.request_id] = await _turn(request, item.request_id, call.caller.user_id)
        turn = turns[item.request_id]
        message = referred(item, turn.reply.message) if turn else None
        if message is not None:
            found[name] = message
    return joined(body.pieces, found) if names else []


async def _turn(request: web.Request, request_id: str, user_id: str) -> StoredTurn | None:
    try:
        return await find_turn(request, request_id, user_id=user_id)
    except ServiceError as error:
        if error.reason != "TURN_NOT_FOUND":
            raise
        return None


async def _place(request: web.Request, body: ResponsesBody, call: ChatCall) -> _Place:
    if not body.previous_response_id:
        return _Place(call.memory.conversation_id)
    if forbids_memory(request, call.caller.project):
        raise _no_previous(body.previous_response_id)
    try:
        turn = await find_response(request, body.previous_response_id, user_id=call.caller.user_id)
    except ServiceError as error:
        if error.reason != "TURN_NOT_FOUND":
            raise
        raise _no_previous(body.previous_response_id) from error
    return _Place(turn.conversation_id, turn.request_id)


def _no_previous(name: str) -> ServiceError:
    error = invalid_field(
        "previous_response_id",
        f"Previous response with id '{name}' not found; one with store: false is not kept.",
    )
    error.meaning = replace(error.meaning, code="previous_response_not_found")
    return error


def _is_kept(request: web.Request, call: ChatCall) -> bool:
    is_on = request.app[SETTINGS].memory.enabled and not call.untraced
    return is_on and call.memory.policy in _KEEPING


async def _past(
    request: web.Request, call: ChatCall, place: _Place, own: Sequence[Message], *, must: bool
) -> _Past:
    """Read what a request continues; unless it `must` be there, it may be missing."""
    if not place.conversation_id:
        return _Past()
    fresh = () if place.after_request_id else [m for m in own if m.role not in _HEAD]
    try:
        if not place.after_request_id:
            await settled(request, call.caller.user_id, place.conversation_id)
        answer = await ask(
            "memory",
            request.app[CLIENTS].conversations.GetHistory,
            GetHistoryRequest(
                user_id=call.caller.user_id,
                conversation_id=place.conversation_id,
                messages=fresh,
                after_request_id=place.after_request_id,
            ),
            request_id=request_id_of(request),
        )
    except ServiceError as error:
        if must or error.reason not in _DOWN:
            raise
        log.warning("response goes on without its past", error=error.message)
        return _Past()
    return _past_of(answer.history)


def _past_of(history: Sequence[Message]) -> _Past:
    count = next((n for n, m in enumerate(history) if m.role not in _HEAD), len(history))
    head, said = history[:count], history[count:]
    for message in said:
        message.ClearField("reasoning")  # some servers refuse it, and of old turns none needs it
    return _Past(
        lasting=tuple(message for message in head if message.role != "system"),
        said=tuple(said),
        instructed=any(message.role == "system" for message in head),
    )


def _would_be_instructed_again(new: Sequence[Message], past: _Past) -> bool:
    """Tell whether memory would put earlier instructions before the new messages.

    It does so where these bring none. A past without an answer is always the router's: to
    it, messages without an answer are all new.
    """
    leads = bool(new) and new[0].role in _HEAD
    answered = any(message.role == "assistant" for message in past.said)
    return past.instructed and answered and not leads


def _fill(
    call: ChatCall,
    body: ResponsesBody,
    own: Sequence[Message],
    past: _Past,
    *,
    place: _Place,
    kept: bool,
) -> None:
    """Put the messages on a call, and where they belong."""
    head = _begun_by(body.instructions, past.lasting)
    by_router = kept and not _would_be_instructed_again([*head, *own], past)
    del call.messages[:]
    call.messages.extend([*head, *(() if by_router else past.said), *own])
    call.memory.conversation_id = ""
    if not kept:
        return
    if call.memory.policy == MEMORY_POLICY_UNSPECIFIED:
        call.memory.policy = MEMORY_POLICY_STORE
    call.memory.conversation_id = (
        place.conversation_id or f"{CONVERSATION}{digits_of(call.request_id)}"
    )
    if by_router:
        call.memory.after_request_id = place.after_request_id
