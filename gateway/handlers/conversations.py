"""/memory/conversations: what is remembered, beginning, changing and forgetting it."""

from __future__ import annotations

from aiohttp import web
from msgspec import UNSET

from gateway.bodies import parsed
from gateway.clients import ask
from gateway.context import CLIENTS, SETTINGS, request_id_of
from gateway.dialects.rest_conversations import (
    ConversationPage,
    DeletedConversation,
    conversation_json,
    whole_conversation_json,
)
from gateway.dialects.rest_queries import ConversationChange, ConversationQuery, NewConversation
from gateway.dialects.rest_reading import metadata_struct, read_body, read_query
from gateway.handlers.replies import hinting_at_users, json_reply, narrowed_user
from gateway.scope import read_span
from lair.memory.v1.conversation_pb2 import Conversation, StoredMessage
from lair.memory.v1.conversation_service_pb2 import (
    CreateConversationRequest,
    DeleteConversationRequest,
    GetConversationRequest,
    ListConversationsRequest,
    ListMessagesRequest,
    Tags,
    UpdateConversationRequest,
)
from svckit.errors import ServiceError

_MESSAGES_PAGE = 1000


async def list_conversations(request: web.Request) -> web.Response:
    """List conversations, the most recently changed first."""
    user_id = narrowed_user(request)
    query = read_query(request.query.items(), ConversationQuery)
    zone = request.app[SETTINGS].metrics.time_zone
    span = read_span(query.start, query.end, query.tz, default_zone=zone)
    page = await ask(
        "memory",
        request.app[CLIENTS].conversations.ListConversations,
        ListConversationsRequest(
            user_id=user_id,
            all_users=not user_id,
            project=query.project,
            session_id=query.session_id,
            title_query=query.q,
            tags=query.tag,
            start_time=span.start,
            end_time=span.end,
            page_size=query.limit,
            page_token=query.page_token,
        ),
        request_id=request_id_of(request),
    )
    return json_reply(
        ConversationPage(
            conversations=[conversation_json(item) for item in page.conversations],
            next_page_token=page.next_page_token or None,
            total_count=page.total_count,
        )
    )


async def create_conversation(request: web.Request) -> web.Response:
    """Begin a conversation without a message."""
    user_id = narrowed_user(request)
    new = await parsed(request, _read_new)
    created = await ask(
        "memory",
        request.app[CLIENTS].conversations.CreateConversation,
        CreateConversationRequest(
            user_id=user_id,
            id=new.id or "",
            title=new.title,
            project=new.project,
            session_id=new.session_id,
            tags=new.tags,
            metadata=metadata_struct(new.metadata),
        ),
        request_id=request_id_of(request),
    )
    return json_reply(conversation_json(created.conversation), status=201)


async def get_conversation(request: web.Request) -> web.Response:
    """Return one conversation with all its messages, oldest first."""
    conversation = await _find_anywhere(request)
    messages = await _all_messages(request, conversation)
    return json_reply(whole_conversation_json(conversation, messages))


async def change_conversation(request: web.Request) -> web.Response:
    """Change a conversation's title, tags or metadata; another user's needs that user's name."""
    change = await parsed(request, _read_change)
    conversation = await _find_own(request)
    changed = await ask(
        "memory",
        request.app[CLIENTS].conversations.UpdateConversation,
        UpdateConversationRequest(
            user_id=conversation.user_id,
            conversation_id=conversation.id,
            title=None if change.title is UNSET else change.title,
            tags=None if change.tags is UNSET else Tags(tags=change.tags),
            metadata=None if change.metadata is UNSET else metadata_struct(change.metadata),
        ),
        request_id=request_id_of(request),
    )
    return json_reply(conversation_json(changed.conversation))


async def delete_conversation(request: web.Request) -> web.Response:
    """Forget one conversation; another user's only where the request names that user."""
    conversation = await _find_own(request)
    done = await ask(
        "memory",
        request.app[CLIENTS].conversations.DeleteConversation,
        DeleteConversationRequest(user_id=conversation.user_id, conversation_id=conversation.id),
        request_id=request_id_of(request),
    )
    return json_reply(
        DeletedConversation(
            id=conversation.id,
            object="conversation.deleted",
            deleted=True,
            deleted_messages=done.deleted_message_count,
        )
    )


def _read_new(body: bytes) -> NewConversation:
    return read_body(body, NewConversation)


def _read_change(body: bytes) -> ConversationChange:
    return read_body(body, ConversationChange)


async def _find_own(request: web.Request) -> Conversation:
    """Return the conversation of the path if it is the user's; say how to reach another's."""
    user_id = narrowed_user(request)
    with hinting_at_users(user_id):
        return await _find(request, user_id)


async def _find_anywhere(request: web.Request) -> Conversation:
    """Return the conversation of the path: the default user's first, then anybody's."""
    user_id = narrowed_user(request)
    try:
        return await _find(request, user_id)
    except ServiceError as error:
        if user_id or error.reason != "CONVERSATION_NOT_FOUND":
            raise
    return await _find(request, "", all_users=True)


async def _find(request: web.Request, user_id: str, *, all_users: bool = False) -> Conversation:
    """Return the conversation of the path, which also says whose it is."""
    found = await ask(
        "memory",
        request.app[CLIENTS].conversations.GetConversation,
        GetConversationRequest(
            user_id=user_id, all_users=all_users, conversation_id=request.match_info["id"]
        ),
        request_id=request_id_of(request),
    )
    return found.conversation


async def _all_messages(request: web.Request, conversation: Conversation) -> list[StoredMessage]:
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
