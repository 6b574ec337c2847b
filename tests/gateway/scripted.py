"""The services behind the gateway, played from scripts over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lair.common.v1.chat_pb2 import Message
from lair.memory.v1 import conversation_service_pb2 as conversations_pb2
from lair.memory.v1 import memory_service_pb2 as memory_pb2
from lair.memory.v1 import recall_service_pb2 as recall_pb2
from lair.memory.v1.conversation_pb2 import Conversation, StoredMessage
from lair.memory.v1.conversation_service_pb2_grpc import (
    ConversationServiceServicer,
    add_ConversationServiceServicer_to_server,
)
from lair.memory.v1.memory_service_pb2_grpc import (
    MemoryServiceServicer,
    add_MemoryServiceServicer_to_server,
)
from lair.memory.v1.recall_service_pb2_grpc import (
    RecallServiceServicer,
    add_RecallServiceServicer_to_server,
)
from lair.metrics.v1.report_service_pb2_grpc import add_ReportServiceServicer_to_server
from lair.router.v1 import router_service_pb2 as router_pb2
from lair.router.v1.chat_pb2 import (
    ChatCall,
    ChatCompletion,
    ChatEvent,
    Choice,
    Completed,
    Delta,
    Finish,
    MemoryOutcome,
    Route,
    Started,
    Waiting,
)
from lair.router.v1.router_service_pb2_grpc import (
    RouterServiceServicer,
    add_RouterServiceServicer_to_server,
)
from svckit.errors import ServiceError, invalid_field
from svckit.grpc_server import Servicers
from tests.gateway.scripted_metrics import ScriptedMetrics

# One step of a stream: events for one message, something to wait for, or a failure.
Step = Sequence[ChatEvent] | asyncio.Event | Exception

NOW = 1_700_000_000
ROUTE = Route(backend="ollama", model="qwen3:8b", reason="exact model", fallback_count=1)
MEMORY = MemoryOutcome(conversation_id="conv-1", history_count=4)


def started(**kwargs: Any) -> ChatEvent:
    begin = Started(id="chatcmpl-1", created=1_700_000_000, model="qwen3:8b", route=ROUTE)
    begin.memory.CopyFrom(MEMORY)
    begin.MergeFrom(Started(**kwargs))
    return ChatEvent(started=begin)


def waiting(position: int) -> ChatEvent:
    return ChatEvent(waiting=Waiting(position=position))


def delta(text: str = "", **kwargs: Any) -> ChatEvent:
    return ChatEvent(delta=Delta(text=text, **kwargs))


def finish(reason: str = "stop", **kwargs: Any) -> ChatEvent:
    return ChatEvent(finish=Finish(reason=reason, **kwargs))


def completed(**kwargs: Any) -> ChatEvent:
    return ChatEvent(completed=Completed(**kwargs))


def whole(text: str = "Hello!") -> router_pb2.ChatResponse:
    """Return a whole answer of one choice."""
    message = Message(role="assistant", text=text)
    return router_pb2.ChatResponse(
        completion=ChatCompletion(
            id="chatcmpl-1",
            created=1_700_000_000,
            model="qwen3:8b",
            choices=[Choice(index=0, message=message, finish_reason="stop")],
        ),
        route=ROUTE,
        memory=MEMORY,
    )


@dataclass
class ScriptedRouter(RouterServiceServicer):
    """Answers every chat with its script, and keeps what it was asked."""

    answer: router_pb2.ChatResponse | Exception = field(default_factory=whole)
    hold: asyncio.Event | None = None
    steps: Sequence[Step] = ()
    vectors: router_pb2.EmbedResponse | Exception = field(default_factory=router_pb2.EmbedResponse)
    models: Sequence[router_pb2.Model] = ()
    backends: Sequence[router_pb2.Backend] = ()
    candidates: Sequence[router_pb2.RouteCandidate] | Exception = ()
    explained: list[ChatCall] = field(default_factory=list)
    switches: list[router_pb2.SetBackendModeRequest] = field(default_factory=list)
    # What a switch that unloads says of that.
    unloadings: list[router_pb2.Unloading] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def Chat(self, request: router_pb2.ChatRequest, context: Any) -> Any:
        self._begin(request.call)
        try:
            if self.hold:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def ChatStream(
        self, request: router_pb2.ChatStreamRequest, context: Any
    ) -> AsyncIterator[router_pb2.ChatStreamResponse]:
        self._begin(request.call)
        try:
            for step in self.steps:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield router_pb2.ChatStreamResponse(events=step)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def Complete(self, request: Any, context: Any) -> Any:
        answer = await self.Chat(request, context)
        return router_pb2.CompleteResponse(completion=answer.completion, route=answer.route)

    async def CompleteStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for reply in self.ChatStream(request, context):
            yield router_pb2.CompleteStreamResponse(events=reply.events)

    async def Embed(self, request: router_pb2.EmbedRequest, context: Any) -> Any:
        self._begin(request.call)
        if isinstance(self.vectors, Exception):
            raise self.vectors
        return self.vectors

    async def ListModels(self, request: router_pb2.ListModelsRequest, context: Any) -> Any:
        """List two models a page."""
        begin = int(request.page_token or 0)
        more = begin + 2 < len(self.models)
        return router_pb2.ListModelsResponse(
            models=self.models[begin : begin + 2], next_page_token=str(begin + 2) if more else ""
        )

    async def ListBackends(self, request: Any, context: Any) -> Any:
        return router_pb2.ListBackendsResponse(backends=self.backends)

    async def ExplainRoute(self, request: router_pb2.ExplainRouteRequest, context: Any) -> Any:
        self.explained.append(request.call)
        if isinstance(self.candidates, Exception):
            raise self.candidates
        return router_pb2.ExplainRouteResponse(candidates=self.candidates)

    async def SetBackendMode(self, request: router_pb2.SetBackendModeRequest, context: Any) -> Any:
        """Switch one backend, or all local ones; a hold counts from the test's own clock."""
        self.switches.append(request)
        named = [b for b in self.backends if b.name == request.backend]
        if request.backend and not named:
            raise invalid_field("backend", f"there is no backend {request.backend!r}")
        for backend in named or [b for b in self.backends if b.local]:
            backend.mode = request.mode
            backend.gaming = request.mode == router_pb2.BACKEND_MODE_EXPLICIT_ONLY
            backend.ClearField("mode_expire_time")
            if request.HasField("hold_duration"):
                backend.mode_expire_time.seconds = NOW + request.hold_duration.seconds
        return router_pb2.SetBackendModeResponse(
            backends=self.backends, unloadings=self.unloadings if request.unload else ()
        )

    def _begin(self, call: ChatCall) -> None:
        self.calls.append(call)
        self.asked.set()


@dataclass
class ScriptedMemory(ConversationServiceServicer, RecallServiceServicer, MemoryServiceServicer):
    """Holds the conversations and notes it is given."""

    conversations: list[Conversation] = field(default_factory=list)
    messages: list[StoredMessage] = field(default_factory=list)
    index: recall_pb2.GetIndexStatusResponse = field(
        default_factory=lambda: recall_pb2.GetIndexStatusResponse(
            model="all-MiniLM-L6-v2", model_state="ready", indexed_count=3
        )
    )
    stats: conversations_pb2.GetStatsResponse = field(
        default_factory=conversations_pb2.GetStatsResponse
    )
    found: recall_pb2.SearchResponse = field(default_factory=recall_pb2.SearchResponse)
    notes: list[memory_pb2.Note] = field(default_factory=list)
    forgotten: memory_pb2.ForgetResponse = field(default_factory=memory_pb2.ForgetResponse)
    requests: list[Any] = field(default_factory=list)

    async def ListConversations(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return conversations_pb2.ListConversationsResponse(
            conversations=self.conversations, next_page_token="next", total_count=7
        )

    async def GetConversation(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        for conversation in self.conversations:
            mine = request.all_users or conversation.user_id == request.user_id
            if mine and conversation.id == request.conversation_id:
                return conversations_pb2.GetConversationResponse(conversation=conversation)
        raise ServiceError(
            "CONVERSATION_NOT_FOUND",
            f"there is no conversation {request.conversation_id!r}",
            conversation_id=request.conversation_id,
        )

    async def ListMessages(self, request: Any, context: Any) -> Any:
        """List one message a page."""
        self.requests.append(request)
        begin = int(request.page_token or 0)
        more = begin + 1 < len(self.messages)
        return conversations_pb2.ListMessagesResponse(
            messages=self.messages[begin : begin + 1],
            next_page_token=str(begin + 1) if more else "",
        )

    async def CreateConversation(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        created = Conversation(
            id=request.id or "made-up",
            user_id=request.user_id or "local",
            title=request.title,
            project=request.project,
            session_id=request.session_id,
            tags=request.tags,
            metadata=request.metadata,
        )
        self.conversations.append(created)
        return conversations_pb2.CreateConversationResponse(conversation=created)

    async def UpdateConversation(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        [found] = (c for c in self.conversations if c.id == request.conversation_id)
        return conversations_pb2.UpdateConversationResponse(conversation=found)

    async def GetStats(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.stats

    async def Search(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.found

    async def Explain(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return recall_pb2.ExplainResponse(
            query="colour", candidates=self.found.passages, context="- teal"
        )

    async def DeleteConversation(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return conversations_pb2.DeleteConversationResponse(deleted_message_count=5)

    async def GetIndexStatus(self, request: Any, context: Any) -> Any:
        return self.index

    async def Remember(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        note = memory_pb2.Note(
            message_id=7,
            text=request.text,
            project=request.project,
            pinned=request.pinned,
            role="user",
        )
        return memory_pb2.RememberResponse(note=note)

    async def ListNotes(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return memory_pb2.ListNotesResponse(notes=self.notes, next_page_token="next")

    async def PinMessage(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        note = self._note(request.message_id)
        note.pinned, note.project = not request.unpin, request.project
        return memory_pb2.PinMessageResponse(note=note)

    async def CorrectMessage(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        note = self._note(request.message_id)
        note.text = request.text
        return memory_pb2.CorrectMessageResponse(note=note)

    async def Forget(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.forgotten

    def _note(self, number: int) -> memory_pb2.Note:
        for note in self.notes:
            if note.message_id == number:
                return note
        raise ServiceError(
            "MESSAGE_NOT_FOUND", f"there is no message {number}", message_id=str(number)
        )


def servicers(
    router: ScriptedRouter, memory: ScriptedMemory, metrics: ScriptedMetrics
) -> Servicers:
    """Offer all of them on one server."""
    return Servicers(
        name="scripted",
        descriptors=(),
        register=(
            lambda server: add_RouterServiceServicer_to_server(router, server),
            lambda server: add_ConversationServiceServicer_to_server(memory, server),
            lambda server: add_RecallServiceServicer_to_server(memory, server),
            lambda server: add_MemoryServiceServicer_to_server(memory, server),
            lambda server: add_ReportServiceServicer_to_server(metrics, server),
        ),
    )
