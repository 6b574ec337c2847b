"""ConversationService and RecallService: the contract on one side, memory on the other."""

from __future__ import annotations

from typing import Any

import grpc

from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1 import recall_service_pb2 as recall
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceServicer
from lair.memory.v1.recall_service_pb2_grpc import RecallServiceServicer
from memory_svc import wire
from memory_svc.conversations import Conversations
from memory_svc.embedding.base import Embedder
from memory_svc.model import ConversationChange, NewConversation, TurnFilter
from memory_svc.recall import Recalls
from memory_svc.search import Search
from memory_svc.storage.base import MemoryStore
from memory_svc.turns import Turns
from svckit.errors import invalid_field
from svckit.pages import encode_token, page_size
from svckit.times import now_us

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_TURNS = 500
_FIRST_PAGE = (-1,)


class ConversationService(ConversationServiceServicer):
    """Keeps conversations."""

    def __init__(self, conversations: Conversations, turns: Turns, *, default_user: str) -> None:
        self._conversations = conversations
        self._turns = turns
        self._default_user = default_user

    async def CreateConversation(
        self, request: conversation.CreateConversationRequest, _: Any
    ) -> conversation.CreateConversationResponse:
        """Begin a conversation without a message."""
        created = await self._conversations.create(
            NewConversation(
                user_id=self._user(request.user_id),
                id=wire.checked_id("id", request.id, required=False),
                title=wire.checked_title(request.title),
                project=request.project,
                session_id=request.session_id,
                tags=wire.to_tags(request.tags),
                metadata=wire.to_metadata(request.metadata),
            )
        )
        return conversation.CreateConversationResponse(conversation=wire.from_conversation(created))

    async def AppendTurns(
        self, request: conversation.AppendTurnsRequest, _: Any
    ) -> conversation.AppendTurnsResponse:
        """Store each turn once; say what became of the others."""
        if len(request.turns) > _MAX_TURNS:
            raise invalid_field(
                "turns",
                f"turns has {len(request.turns)} entries; send at most {_MAX_TURNS} at a time",
            )
        now = now_us()
        turns = [wire.to_turn(turn, self._default_user, now) for turn in request.turns]
        appended = await self._conversations.append(turns)
        return conversation.AppendTurnsResponse(
            stored_count=appended.stored,
            duplicate_count=appended.duplicates,
            deleted_count=appended.deleted,
            refusals=map(wire.from_refusal, appended.refusals),
        )

    async def GetHistory(
        self, request: conversation.GetHistoryRequest, _: Any
    ) -> conversation.GetHistoryResponse:
        """Return what goes in front of a client's new messages."""
        history = await self._conversations.history(
            self._user(request.user_id),
            wire.checked_id("conversation_id", request.conversation_id),
            request.messages,
            after_request_id=request.after_request_id,
            retry_of=request.retry_of,
        )
        return conversation.GetHistoryResponse(
            history=history.messages, insert_index=history.insert_index, head=history.head
        )

    async def GetConversation(
        self, request: conversation.GetConversationRequest, _: Any
    ) -> conversation.GetConversationResponse:
        """Return one conversation without its messages."""
        found = await self._conversations.get(
            None if request.all_users else self._user(request.user_id),
            wire.checked_id("conversation_id", request.conversation_id),
        )
        return conversation.GetConversationResponse(conversation=wire.from_conversation(found))

    async def ListMessages(
        self, request: conversation.ListMessagesRequest, _: Any
    ) -> conversation.ListMessagesResponse:
        """List a conversation's messages, oldest first."""
        size = page_size(request.page_size, default=200, maximum=1000)
        (after,) = wire.to_position(request.page_token, 1) or _FIRST_PAGE
        listed = await self._conversations.messages(
            self._user(request.user_id),
            wire.checked_id("conversation_id", request.conversation_id),
            after=after,
            limit=size + 1,
            include_inactive=request.include_inactive,
        )
        shown = listed[:size]
        token = ""
        if len(listed) > size:
            token = encode_token(shown[-1].id if request.include_inactive else shown[-1].position)
        return conversation.ListMessagesResponse(
            messages=map(wire.from_stored_message, shown), next_page_token=token
        )

    async def ListConversations(
        self, request: conversation.ListConversationsRequest, _: Any
    ) -> conversation.ListConversationsResponse:
        """List conversations, the most recently changed first."""
        size = page_size(request.page_size, default=50, maximum=500)
        place = wire.to_position(request.page_token, 2)
        user_id = None if request.all_users else self._user(request.user_id)
        where = wire.to_conversation_filter(request, user_id)
        after = (place[0], place[1]) if place else None
        listed, total = await self._conversations.page(where, after, size + 1)
        shown = listed[:size]
        more = len(listed) > size
        return conversation.ListConversationsResponse(
            conversations=map(wire.from_conversation, shown),
            next_page_token=encode_token(shown[-1].updated_us, shown[-1].key) if more else "",
            total_count=total,
        )

    async def UpdateConversation(
        self, request: conversation.UpdateConversationRequest, _: Any
    ) -> conversation.UpdateConversationResponse:
        """Change a conversation's title, tags or metadata."""
        has = request.HasField
        change = ConversationChange(
            title=wire.checked_title(request.title) if has("title") else None,
            tags=wire.to_tags(request.tags.tags) if has("tags") else None,
            metadata=wire.to_metadata(request.metadata) if has("metadata") else None,
        )
        changed = await self._conversations.update(
            self._user(request.user_id),
            wire.checked_id("conversation_id", request.conversation_id),
            change,
        )
        return conversation.UpdateConversationResponse(conversation=wire.from_conversation(changed))

    async def DeleteConversation(
        self, request: conversation.DeleteConversationRequest, _: Any
    ) -> conversation.DeleteConversationResponse:
        """Delete a conversation and all that was derived from it."""
        deleted = await self._conversations.delete(
            self._user(request.user_id),
            wire.checked_id("conversation_id", request.conversation_id),
        )
        return conversation.DeleteConversationResponse(deleted_message_count=deleted)

    async def DeleteMessage(
        self, request: conversation.DeleteMessageRequest, _: Any
    ) -> conversation.DeleteMessageResponse:
        """Delete one message and all that was derived from it."""
        if request.message_id <= 0:
            raise invalid_field(
                "message_id", f"message_id is {request.message_id}; send a message's number"
            )
        left = await self._conversations.delete_message(
            self._user(request.user_id),
            wire.checked_id("conversation_id", request.conversation_id),
            request.message_id,
        )
        return conversation.DeleteMessageResponse(conversation=wire.from_conversation(left))

    async def GetStats(
        self, request: conversation.GetStatsRequest, _: Any
    ) -> conversation.GetStatsResponse:
        """Count what is kept."""
        user_id = None if request.all_users else self._user(request.user_id)
        return wire.from_stats(await self._conversations.stats(user_id))

    async def GetTurn(
        self, request: conversation.GetTurnRequest, _: Any
    ) -> conversation.GetTurnResponse:
        """Return one stored request with its answer."""
        turn = await self._turns.get(
            None if request.all_users else self._user(request.user_id),
            wire.checked_id("request_id", request.request_id),
        )
        return conversation.GetTurnResponse(turn=wire.from_stored_turn(turn))

    async def ListTurns(
        self, request: conversation.ListTurnsRequest, _: Any
    ) -> conversation.ListTurnsResponse:
        """List stored requests, by when they came in."""
        place = wire.to_position(request.page_token, 2)
        where = TurnFilter(
            user_id=None if request.all_users else self._user(request.user_id),
            endpoint=request.endpoint,
            model=request.model,
            recorded_only=request.recorded_only,
            metadata=dict(request.metadata),
            newest_first=request.newest_first,
        )
        shown, more = await self._turns.page(
            where,
            place=(place[0], place[1]) if place else None,
            after_request_id=request.after_request_id,
            limit=page_size(request.page_size, default=20, maximum=100),
        )
        return conversation.ListTurnsResponse(
            turns=map(wire.from_stored_turn, shown),
            next_page_token=encode_token(shown[-1].created_us, shown[-1].key) if more else "",
        )

    async def UpdateTurn(
        self, request: conversation.UpdateTurnRequest, _: Any
    ) -> conversation.UpdateTurnResponse:
        """Change what is kept beside a stored request."""
        turn = await self._turns.update(
            self._user(request.user_id),
            wire.checked_id("request_id", request.request_id),
            request.record_json,
        )
        return conversation.UpdateTurnResponse(turn=wire.from_stored_turn(turn))

    async def DeleteTurn(
        self, request: conversation.DeleteTurnRequest, _: Any
    ) -> conversation.DeleteTurnResponse:
        """Delete one stored request and what only it has."""
        deleted = await self._turns.delete(
            self._user(request.user_id), wire.checked_id("request_id", request.request_id)
        )
        return conversation.DeleteTurnResponse(deleted_message_count=deleted)

    def _user(self, user_id: str) -> str:
        return wire.checked_id("user_id", user_id, required=False) or self._default_user


class RecallService(RecallServiceServicer):
    """Finds what matters in a user's past."""

    def __init__(
        self,
        search: Search,
        recalls: Recalls,
        store: MemoryStore,
        embedder: Embedder,
        *,
        default_user: str,
    ) -> None:
        self._search = search
        self._recalls = recalls
        self._store = store
        self._embedder = embedder
        self._default_user = default_user

    async def Search(self, request: recall.SearchRequest, _: Any) -> recall.SearchResponse:
        """Find passages by words and by meaning, best first."""
        if not request.query.strip():
            raise invalid_field("query", "query is empty; send a question or words")
        if request.limit < 0:
            raise invalid_field("limit", f"limit is {request.limit}; send 0 to 100")
        found = await self._search.find(
            self._user(request.user_id),
            request.query,
            wire.to_filter(request.filter),
            page_size(request.limit, default=10, maximum=100),
            channels=wire.to_channels(request.channels),
        )
        return wire.from_found(found)

    async def Recall(self, request: recall.RecallRequest, _: Any) -> recall.RecallResponse:
        """Find and pack what fits a prompt's budget."""
        prompt = wire.to_prompt(request, self._user(request.user_id))
        return wire.from_recall(await self._recalls.recall(prompt))

    async def Explain(self, request: recall.ExplainRequest, _: Any) -> recall.ExplainResponse:
        """Return why a recall chose what it chose."""
        explained = await self._recalls.explain(
            self._user(request.user_id), wire.checked_id("request_id", request.request_id)
        )
        return wire.from_explained(explained)

    async def GetIndexStatus(
        self, _: recall.GetIndexStatusRequest, __: Any
    ) -> recall.GetIndexStatusResponse:
        """Return how far indexing is."""
        counts = await self._store.index_counts(self._embedder.model)
        status = self._embedder.status
        return recall.GetIndexStatusResponse(
            model=self._embedder.model,
            model_state=status.state,
            model_error=status.error,
            indexed_count=counts.indexed,
            pending_count=counts.pending,
            failed_count=counts.failed,
            failure=counts.failure,
        )

    def _user(self, user_id: str) -> str:
        return wire.checked_id("user_id", user_id, required=False) or self._default_user
