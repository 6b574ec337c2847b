"""`lair/recall`: answers out of the user's own conversations. Not a language model.

The embedded default. It quotes what was said, with date and conversation, or says
that it has nothing; so a machine without any LLM server still gets an honest use
out of lair.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from uuid import uuid4

import grpc

from lair.common.v1.chat_pb2 import Message
from lair.memory.v1.recall_service_pb2 import Passage, SearchRequest
from lair.memory.v1.recall_service_pb2_grpc import RecallServiceStub
from lair.router.v1.chat_pb2 import (
    ChatCall,
    ChatCompletion,
    ChatEvent,
    Choice,
    Completed,
    Delta,
    Finish,
    Started,
)
from router_svc.model import ServedModel, Snapshot, State, UpstreamError
from svckit import settings
from svckit.deadline import within
from svckit.errors import ServiceError
from svckit.recalled import without_recalled
from svckit.times import now_us

MODEL = "lair/recall"
NOTICE = (
    "(This is lair's built-in recall, not a language model: it only quotes your own stored "
    "conversations. Start an LLM server to get real answers.)"
)
NOTHING = "I have nothing on that."
_SEARCH_SECONDS = 5.0
_QUOTE_CHARACTERS = 600


class RecallBackend:
    """Searches memory_svc and quotes what it finds."""

    kind = "recall"
    name = "lair"
    url = ""
    local = True
    last_resort = True
    config = settings.Backend(name=name, kind=kind, max_concurrent=0)

    def __init__(self, memory: grpc.aio.Channel, *, passages: int) -> None:
        self._recall = RecallServiceStub(memory)
        self._passages = passages

    async def probe(self) -> Snapshot:
        """Be there: it needs nothing but memory_svc, and says so when that is down."""
        return Snapshot(State.UP, (ServedModel(id=MODEL),), "", now_us())

    async def chat(self, call: ChatCall, model: str) -> ChatCompletion:
        """Answer at once."""
        text = "\n\n".join(await self._answer(call))
        choice = Choice(index=0, message=Message(role="assistant", text=text), finish_reason="stop")
        return ChatCompletion(id=_id(), created=int(time.time()), model=model, choices=[choice])

    async def stream(self, call: ChatCall, model: str) -> AsyncGenerator[list[ChatEvent]]:
        """Answer paragraph by paragraph."""
        paragraphs = await self._answer(call)
        started = Started(id=_id(), created=int(time.time()), model=model)
        yield [ChatEvent(started=started)]
        for number, paragraph in enumerate(paragraphs):
            text = f"\n\n{paragraph}" if number else paragraph
            yield [ChatEvent(delta=Delta(index=0, text=text))]
        yield [
            ChatEvent(finish=Finish(index=0, reason="stop")),
            ChatEvent(completed=Completed()),
        ]

    async def close(self) -> None:
        """Hold nothing."""

    async def _answer(self, call: ChatCall) -> list[str]:
        question = last_user_text(call)
        if not question:
            return [NOTHING, NOTICE]
        request = SearchRequest(
            user_id=call.caller.user_id, query=question, limit=self._passages * 3
        )
        search = self._recall.Search(request, timeout=_SEARCH_SECONDS)
        try:
            reply = await within(_SEARCH_SECONDS, search, service="memory")
        except ServiceError as error:
            raise UpstreamError(error.reason, error.message) from error
        found = [p for p in reply.passages if not _is_question(p.text, question)]
        quotes = [_quote(passage) for passage in found[: self._passages]]
        return [*(quotes or [NOTHING]), NOTICE]


def last_user_text(call: ChatCall) -> str:
    """Return the text of the last message of the user; empty if there is none."""
    for message in reversed(call.messages):
        if message.role == "user":
            if message.WhichOneof("content") == "text":
                said = message.text
            else:
                said = "\n".join(part.text for part in message.parts.parts if part.text)
            return without_recalled(said).strip()
    return ""


def _is_question(text: str, question: str) -> bool:
    """Tell whether a passage only asks: quoting a question answers none."""
    return text.strip().endswith("?") or text.strip().casefold() == question.casefold()


def _quote(passage: Passage) -> str:
    date = passage.create_time.ToDatetime().date().isoformat()
    who = "you said" if passage.role == "user" else "the answer was"
    text = " ".join(passage.text.split())
    if len(text) > _QUOTE_CHARACTERS:
        text = text[: _QUOTE_CHARACTERS - 1] + "…"
    return f"On {date} {who}: “{text}” [conversation {passage.conversation_id}]"


def _id() -> str:
    return f"chatcmpl-{uuid4().hex}"
