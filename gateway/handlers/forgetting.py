"""DELETE /memory/messages, POST /memory/forget: what people have lair forget.

A request forgets one user's data: its own, or of the user that it names; the owner of the
machine who names nobody means the default user, never everyone.
"""

from __future__ import annotations

from aiohttp import web

from gateway.bodies import parsed
from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.rest_notes import DeletedMessage, forgotten_json
from gateway.dialects.rest_queries import ForgetWish
from gateway.dialects.rest_reading import read_body
from gateway.handlers.replies import hinting_at_users, json_reply, narrowed_user, path_message_id
from lair.memory.v1.memory_service_pb2 import ForgetRequest, ForgetResponse, MessageIds
from svckit.errors import ServiceError, invalid_field

# Years of a person's conversations go in one transaction.
_FORGET_SECONDS = 120.0
_TARGETS = ("messages", "conversation_id", "project", "topic", "everything")


async def forget_message(request: web.Request) -> web.Response:
    """Forget one message; another user's only where the request names that user."""
    message_id = path_message_id(request)
    wanted = ForgetRequest(user_id=narrowed_user(request), messages=MessageIds(ids=[message_id]))
    with hinting_at_users(wanted.user_id):
        done = await _forget(request, wanted)
        if not done.message_count:
            raise ServiceError(
                "MESSAGE_NOT_FOUND",
                f"there is no message {message_id}",
                message_id=str(message_id),
            )
    return json_reply(DeletedMessage(id=message_id, object="message.deleted", deleted=True))


async def forget(request: web.Request) -> web.Response:
    """Forget messages, a conversation, a project, a topic or all of one user.

    With `preview` nothing is changed, and the reply says what would go.
    """
    user_id = narrowed_user(request)
    wish = await parsed(request, _read_wish)
    wanted = _wanted(user_id, wish)
    with hinting_at_users(user_id):
        done = await _forget(request, wanted)
    return json_reply(forgotten_json(done, preview=wish.preview))


async def _forget(request: web.Request, wanted: ForgetRequest) -> ForgetResponse:
    return await ask(
        "memory",
        request.app[CLIENTS].memory.Forget,
        wanted,
        request_id=request_id_of(request),
        seconds=_FORGET_SECONDS,
    )


def _wanted(user_id: str, wish: ForgetWish) -> ForgetRequest:
    """Return what to forget. Raises INVALID_FIELD unless the wish names one thing."""
    targets = [name for name in _TARGETS if getattr(wish, name)]
    if not targets:
        raise invalid_field("messages", f"nothing is to forget; send one of {', '.join(_TARGETS)}")
    if len(targets) > 1:
        first, second, *_ = targets
        raise invalid_field(second, f"{second} stands beside {first}; forget one after the other")
    wanted = ForgetRequest(user_id=user_id, preview=wish.preview)
    if wish.messages:
        wanted.messages.ids.extend(wish.messages)
    else:
        [name] = targets
        setattr(wanted, name, getattr(wish, name))
    return wanted


def _read_wish(body: bytes) -> ForgetWish:
    return read_body(body, ForgetWish)
