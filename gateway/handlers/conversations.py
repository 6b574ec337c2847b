"""GET and DELETE of /memory/conversations: what is remembered, and forgetting it."""

from __future__ import annotations

from aiohttp import web

from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.rest_conversations import conversation_json, stored_message_json
from gateway.handlers.replies import json_reply, narrowed_user, query_count, query_text
from lair.memory.v1.conversation_pb2 import Conversation, StoredMessage
from lair.memory.v1.conversation_service_pb2 import (
    DeleteConversationRequest,
    GetConversationRequest,
    ListConversationsRequest,
    ListMessagesRequest,
)
from svckit.errors import ServiceError

_MAX_LIST = 500
_MESSAGES_PAGE = 1000


async def list_conversations(request: web.Request) -> web.Response:
    """List conversations, the most recently changed first."""
    user_id = narrowed_user(request)
    page = await ask(
        "memory",
        request.app[CLIENTS].conversations.ListConversations,
        ListConversationsRequest(
            user_id=user_id,
            all_users=not user_id,
            project=query_text(request, "project"),
            session_id=query_text(request, "session_id"),
            page_size=query_count(request, "limit", maximum=_MAX_LIST),
            page_token=request.query.get("page_token", ""),
        ),
        request_id=request_id_of(request),
    )
    return json_reply(
        {
            "conversations": [conversation_json(item) for item in page.conversations],
            "next_page_token": page.next_page_token or None,
            "total_count": page.total_count,
        }
    )


async def get_conversation(request: web.Request) -> web.Response:
    """Return one conversation with all its messages, oldest first."""
    conversation = await _find_anywhere(request)
    messages = await _all_messages(request, conversation)
    return json_reply(
        {
            **conversation_json(conversation),
            "messages": [stored_message_json(message) for message in messages],
        }
    )


async def delete_conversation(request: web.Request) -> web.Response:
    """Forget one conversation; another user's only where the request names that user."""
    user_id = narrowed_user(request)
    try:
        conversation = await _find(request, user_id)
    except ServiceError as error:
        if user_id or error.reason != "CONVERSATION_NOT_FOUND":
            raise
        hint = f"{error.message}; another user's is deleted with that user's X-User-ID"
        raise ServiceError(error.reason, hint, **error.metadata) from error
    done = await ask(
        "memory",
        request.app[CLIENTS].conversations.DeleteConversation,
        DeleteConversationRequest(user_id=conversation.user_id, conversation_id=conversation.id),
        request_id=request_id_of(request),
    )
    return json_reply(
        {
            "id": conversation.id,
            "object": "conversation.deleted",
            "deleted": True,
            "deleted_messages": done.deleted_message_count,
        }
    )


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
