"""/v1/conversations: our conversations in the words of the OpenAI API.

Every request is about one user's: where it names none, about the default user's.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from google.protobuf.struct_pb2 import Struct

from gateway.bodies import parsed
from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.conversation_items import (
    conversation_json,
    items_of,
    listed,
    parse_conversation,
    parse_metadata,
    parse_new_items,
)
from gateway.dialects.responses_ids import CONVERSATION, digits_of
from gateway.dialects.responses_input import Piece, joined
from gateway.dialects.responses_items import Item
from gateway.handlers.replies import json_reply, narrowed_user
from gateway.handlers.responses import items_page
from gateway.recent import settled
from gateway.turns import find_turn
from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import Message
from lair.memory.v1.conversation_pb2 import Conversation, StoredMessage, Turn
from lair.memory.v1.conversation_service_pb2 import (
    AppendTurnsRequest,
    CreateConversationRequest,
    DeleteConversationRequest,
    DeleteMessageRequest,
    GetConversationRequest,
    ListMessagesRequest,
    UpdateConversationRequest,
)
from svckit.errors import ServiceError, invalid_field

_MESSAGES_PAGE = 1000
# No head that a conversation can have: memory_svc then continues its active path.
_AT_THE_END = "active"
_ENDPOINT = "/v1/conversations"


async def create(request: web.Request) -> web.Response:
    """Begin a conversation, with items if it is given any."""
    metadata, pieces = await parsed(request, parse_conversation)
    conversation_id = f"{CONVERSATION}{digits_of(request_id_of(request))}"
    created = await ask(
        "memory",
        request.app[CLIENTS].conversations.CreateConversation,
        CreateConversationRequest(
            user_id=narrowed_user(request), id=conversation_id, metadata=_struct(metadata)
        ),
        request_id=request_id_of(request),
    )
    await _append(request, conversation_id, pieces)
    return json_reply(conversation_json(created.conversation))


async def get(request: web.Request) -> web.Response:
    """Return a conversation without its items."""
    return json_reply(conversation_json(await _find(request)))


async def update(request: web.Request) -> web.Response:
    """Replace a conversation's metadata."""
    metadata = await parsed(request, parse_metadata)
    conversation = await _find(request)
    changed = await ask(
        "memory",
        request.app[CLIENTS].conversations.UpdateConversation,
        UpdateConversationRequest(
            user_id=conversation.user_id,
            conversation_id=conversation.id,
            metadata=_struct(metadata),
        ),
        request_id=request_id_of(request),
    )
    return json_reply(conversation_json(changed.conversation))


async def delete(request: web.Request) -> web.Response:
    """Forget a conversation with all its items."""
    conversation = await _find(request)
    await ask(
        "memory",
        request.app[CLIENTS].conversations.DeleteConversation,
        DeleteConversationRequest(user_id=conversation.user_id, conversation_id=conversation.id),
        request_id=request_id_of(request),
    )
    return json_reply({"id": conversation.id, "object": "conversation.deleted", "deleted": True})


async def add_items(request: web.Request) -> web.Response:
    """Add items at the end of a conversation; return them as they are kept."""
    pieces = await parsed(request, parse_new_items)
    conversation = await _find(request)
    return json_reply(listed(await _append(request, conversation.id, pieces)))


async def list_items(request: web.Request) -> web.Response:
    """List a conversation's items, the latest first unless asked otherwise."""
    conversation = await _find(request)
    return json_reply(items_page(request, items_of(await _messages(request, conversation))))


async def get_item(request: web.Request) -> web.Response:
    """Return one item."""
    _, item = await _find_item(request, await _find(request))
    return json_reply(item)


async def delete_item(request: web.Request) -> web.Response:
    """Forget the message that an item is part of, with its other items."""
    conversation = await _find(request)
    stored, _ = await _find_item(request, conversation)
    done = await ask(
        "memory",
        request.app[CLIENTS].conversations.DeleteMessage,
        DeleteMessageRequest(
            user_id=conversation.user_id,
            conversation_id=conversation.id,
            message_id=stored.id,
        ),
        request_id=request_id_of(request),
    )
    return json_reply(conversation_json(done.conversation))


async def _append(
    request: web.Request, conversation_id: str, pieces: Iterable[Piece]
) -> list[Item]:
    """Add messages at the end of a conversation; return their items."""
    messages: list[Message] = joined(pieces)
    if not messages:
        return []
    request_id, user_id = request_id_of(request), narrowed_user(request)
    turn = Turn(
        request_id=request_id,
        caller=Caller(user_id=user_id),
        conversation_id=conversation_id,
        parent_head=_AT_THE_END,
        messages=messages,
        endpoint=_ENDPOINT,
    )
    done = await ask(
        "memory",
        request.app[CLIENTS].conversations.AppendTurns,
        AppendTurnsRequest(turns=[turn]),
        request_id=request_id,
    )
    for refusal in done.refusals:
        raise invalid_field("items", f"memory does not keep these items: {refusal.message}")
    stored = await find_turn(request, request_id)
    return items_of(stored.input)


async def _find(request: web.Request) -> Conversation:
    """Return the conversation of the path, with its latest response."""
    user_id, name = narrowed_user(request), request.match_info["id"]
    await settled(request, user_id, name)
    found = await ask(
        "memory",
        request.app[CLIENTS].conversations.GetConversation,
        GetConversationRequest(user_id=user_id, conversation_id=name),
        request_id=request_id_of(request),
    )
    return found.conversation


async def _messages(request: web.Request, conversation: Conversation) -> list[StoredMessage]:
    messages: list[StoredMessage] = []
    token = ""
    while True:
        page = await ask(
            "memory",
            request.app[CLIENTS].conversations.ListMessages,
            ListMessagesRequest(
                user_id=conversation.user_id,
                conversation_id=conversation.id,
                page_size=_MESSAGES_PAGE,
                page_token=token,
            ),
            request_id=request_id_of(request),
        )
        messages.extend(page.messages)
        token = page.next_page_token
        if not token:
            return messages


async def _find_item(
    request: web.Request, conversation: Conversation
) -> tuple[StoredMessage, Item]:
    """Return the item of the path, and the message that it is part of."""
    name = request.match_info["item_id"]
    for stored in await _messages(request, conversation):
        for item in items_of([stored]):
            if item["id"] == name:
                return stored, item
    raise ServiceError(
        "MESSAGE_NOT_FOUND", f"the conversation has no item {name!r}", message_id=name
    )


def _struct(values: dict[str, str]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct
