"""What the tests of memory_svc say to each other, and the service they say it to."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import Message
from lair.memory.v1 import conversation_pb2
from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1 import memory_service_pb2 as memory
from lair.memory.v1 import recall_service_pb2 as recall
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.memory.v1.memory_service_pb2_grpc import MemoryServiceStub
from lair.memory.v1.recall_service_pb2_grpc import RecallServiceStub
from memory_svc.embedding.base import Embedder, EmbeddingError, ModelStatus
from memory_svc.main import open_service
from memory_svc.model import Vector
from memory_svc.words import content_words
from svckit.channels import connect
from svckit.grpc_server import serving
from svckit.settings import Memory, Settings

if TYPE_CHECKING:  # these stubs exist for the type checker only
    from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceAsyncStub
    from lair.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub
    from lair.memory.v1.recall_service_pb2_grpc import RecallServiceAsyncStub

DAY_US = 86_400_000_000
NOW_US = 1_700_000_000_000_000


def user(text: str) -> Message:
    return Message(role="user", text=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", text=text)


def system(text: str) -> Message:
    return Message(role="system", text=text)


class WordEmbedder:
    """Embeds a text as its words: `same` names words that mean another one.

    A text with the word `poison` cannot be embedded.
    """

    def __init__(self, same: dict[str, str] | None = None, model: str = "words") -> None:
        self.model = model
        self.status = ModelStatus("loading")
        self.attempts: list[str] = []
        self._same = same or {}

    async def load(self) -> None:
        self.status = ModelStatus("ready")

    async def embed(self, texts: Sequence[str]) -> Vector:
        self.attempts += texts
        if any("poison" in text for text in texts):
            raise EmbeddingError("cannot stomach poison")
        return np.stack([self._vector(text) for text in texts])

    async def embed_query(self, text: str) -> Vector:
        return (await self.embed([text]))[0]

    def close(self) -> None:
        pass

    def _vector(self, text: str) -> Vector:
        said = text.split(": ", 1)[-1]
        vector = np.zeros(256, dtype=np.float32)
        for word in content_words(said):
            meaning = self._same.get(word, word)
            vector[hashlib.blake2b(meaning.encode(), digest_size=1).digest()[0]] += 1
        length = float(np.linalg.norm(vector))
        return vector / length if length else vector


class StuckEmbedder(WordEmbedder):
    """A model that never gets further than `state`."""

    def __init__(self, status: ModelStatus) -> None:
        super().__init__()
        self.status = status

    async def load(self) -> None:
        pass


@dataclass
class Memories:
    """A running memory_svc, spoken to over gRPC."""

    conversations: ConversationServiceAsyncStub
    recall: RecallServiceAsyncStub
    keeping: MemoryServiceAsyncStub
    requests: int = field(default=0)

    async def say(
        self,
        conversation_id: str,
        messages: Sequence[Message],
        reply: Message | None = None,
        **turn: Any,
    ) -> conversation.AppendTurnsResponse:
        """Store one turn."""
        self.requests += 1
        stored = a_turn(f"request-{self.requests}", conversation_id, messages, reply=reply, **turn)
        return await self.append(stored)

    async def append(self, *turns: conversation_pb2.Turn) -> conversation.AppendTurnsResponse:
        request = conversation.AppendTurnsRequest(turns=turns)
        return await self.conversations.AppendTurns(request, timeout=10)

    async def chat(self, conversation_id: str, new: str, answer: str) -> None:
        """Send only what is new, as a client without a history of its own does."""
        history = await self.history(conversation_id, [user(new)])
        await self.say(conversation_id, [user(new)], assistant(answer), parent_head=history.head)

    async def history(
        self, conversation_id: str, messages: Sequence[Message], user_id: str = ""
    ) -> conversation.GetHistoryResponse:
        request = conversation.GetHistoryRequest(
            user_id=user_id, conversation_id=conversation_id, messages=messages
        )
        return await self.conversations.GetHistory(request, timeout=10)

    async def messages(self, conversation_id: str, **request: Any) -> list[Any]:
        response = await self.conversations.ListMessages(
            conversation.ListMessagesRequest(conversation_id=conversation_id, **request),
            timeout=10,
        )
        return list(response.messages)

    async def texts(self, conversation_id: str, **request: Any) -> list[str]:
        return [m.message.text for m in await self.messages(conversation_id, **request)]

    async def search(self, query: str, **request: Any) -> recall.SearchResponse:
        return await self.recall.Search(recall.SearchRequest(query=query, **request), timeout=10)

    async def found(self, query: str, **request: Any) -> list[str]:
        return [passage.text for passage in (await self.search(query, **request)).passages]

    async def recalled(self, *said: str, own: str = "now", **request: Any) -> recall.RecallResponse:
        """Recall for a user who says these things in the conversation `own`."""
        asked = recall.RecallRequest(
            messages=[user(text) for text in said],
            filter=recall.SearchFilter(exclude_conversation_id=own),
            **request,
        )
        return await self.recall.Recall(asked, timeout=10)

    async def remember(self, text: str, **request: Any) -> memory.Note:
        """Write a note."""
        asked = memory.RememberRequest(text=text, **request)
        return (await self.keeping.Remember(asked, timeout=10)).note

    async def notes(self, **request: Any) -> memory.ListNotesResponse:
        return await self.keeping.ListNotes(memory.ListNotesRequest(**request), timeout=10)

    async def pin(self, message_id: int, **request: Any) -> memory.Note:
        asked = memory.PinMessageRequest(message_id=message_id, **request)
        return (await self.keeping.PinMessage(asked, timeout=10)).note

    async def correct(self, message_id: int, text: str, **request: Any) -> memory.Note:
        asked = memory.CorrectMessageRequest(message_id=message_id, text=text, **request)
        return (await self.keeping.CorrectMessage(asked, timeout=10)).note

    async def forget(self, **request: Any) -> memory.ForgetResponse:
        return await self.keeping.Forget(memory.ForgetRequest(**request), timeout=10)

    async def status(self) -> recall.GetIndexStatusResponse:
        return await self.recall.GetIndexStatus(recall.GetIndexStatusRequest(), timeout=10)

    async def indexed(self) -> recall.GetIndexStatusResponse:
        """Wait until nothing waits to be indexed."""
        while True:
            status = await self.status()
            if status.model_state == "ready" and not status.pending_count:
                return status


def a_turn(
    request_id: str,
    conversation_id: str,
    messages: Sequence[Message],
    *,
    user_id: str = "",
    project: str = "",
    session_id: str = "",
    at_us: int | None = None,
    **turn: Any,
) -> conversation_pb2.Turn:
    built = conversation_pb2.Turn(
        request_id=request_id,
        conversation_id=conversation_id,
        messages=messages,
        caller=Caller(user_id=user_id, project=project, session_id=session_id),
        **turn,
    )
    if at_us is not None:
        built.request_time.CopyFrom(a_time(at_us))
    return built


def a_time(us: int) -> Timestamp:
    return Timestamp(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000)


@asynccontextmanager
async def running(
    folder: Path, embedder: Embedder | None = None, **memory: Any
) -> AsyncIterator[Memories]:
    """Run memory_svc over `folder`; without an embedder it searches by words alone."""
    if embedder is None:
        memory.setdefault("index", False)
    settings = Settings(data_dir=folder, memory=Memory(**memory))
    async with (
        open_service(settings, embedder=embedder) as servicers,
        serving(servicers, "127.0.0.1:0", grace_seconds=0) as port,
        connect(f"127.0.0.1:{port}") as channel,
    ):
        yield Memories(
            ConversationServiceStub(channel), RecallServiceStub(channel), MemoryServiceStub(channel)
        )
