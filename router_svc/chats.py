"""One chat from arrival to record. Read this first.

    choose ─▶ history ─▶ relay ─▶ journal the outcome ─▶ last event

The outcome is in the journal before the client sees the end of its answer, so no
finished request is lost by whatever dies next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import cache
from typing import Self

from prometheus_client import Counter, Histogram
from uuid6 import uuid7

from lair.metrics.v1.usage_pb2 import STATUS_OK, Status
from lair.router.v1.chat_pb2 import ChatCall, ChatEvent, Route
from lair.router.v1.router_service_pb2 import ChatResponse
from router_svc.catalog import Catalog
from router_svc.model import AUTO, Candidate
from router_svc.policy import Wish, choose
from router_svc.relay import Relay
from router_svc.remembering import Memories, Remembered, conversation_key
from router_svc.trace import Trace
from svckit import telemetry
from svckit.errors import ServiceError, invalid_field
from svckit.logging import bind_request_id, get_logger
from svckit.outbox import Outbox

log = get_logger(__name__)


class Chats:
    """Answers chats."""

    def __init__(
        self,
        catalog: Catalog,
        memories: Memories,
        *,
        turns: Outbox,
        records: Outbox,
        count: bool,
        default_user: str,
    ) -> None:
        self._catalog = catalog
        self._relay = Relay(catalog)
        self._memories = memories
        self._turns = turns
        self._records = records
        self._count = count
        self.default_user = default_user

    async def chat(self, call: ChatCall) -> ChatResponse:
        """Answer at once. Raises `ServiceError`."""
        with _Life(self, call, streamed=False) as life:
            candidates = await self._choose(call)
            remembered = await life.remember(self._memories)
            completion, candidate = await self._relay.chat(remembered.call, candidates, life.trace)
            life.trace.completion(completion)
            return ChatResponse(
                completion=completion,
                route=_route(candidate, life.trace),
                memory=remembered.outcome,
            )

    async def stream(self, call: ChatCall) -> AsyncGenerator[list[ChatEvent]]:
        """Yield lists of events that were ready together. Raises `ServiceError`."""
        with _Life(self, call, streamed=True) as life:
            candidates = await self._choose(call)
            remembered = await life.remember(self._memories)
            stream = self._relay.stream(remembered.call, candidates, life.trace)
            async with aclosing(stream) as batches:
                async for events, candidate in batches:
                    if events[0].WhichOneof("event") == "started":
                        events[0].started.route.CopyFrom(_route(candidate, life.trace))
                        events[0].started.memory.CopyFrom(remembered.outcome)
                    life.trace.events(events)
                    if events[-1].WhichOneof("event") == "completed":
                        life.journal()
                    yield events

    async def _choose(self, call: ChatCall) -> list[Candidate]:
        if not call.messages:
            raise invalid_field("messages", "messages is empty; send at least one")
        hints = call.route
        wish = Wish(hints.model or call.model or AUTO, hints.backend, hints.local_only)
        try:
            return choose(wish, self._catalog.views())
        except ServiceError as error:
            if error.reason not in ("MODEL_NOT_FOUND", "NO_BACKEND"):
                raise
        # A model may have been pulled, or a server started, since the last look.
        await self._catalog.refresh(if_older=True)
        return choose(wish, self._catalog.views())

    def keep(self, trace: Trace, *, remember: bool) -> None:
        """Journal what is counted and what is remembered."""
        if self._count and not trace.call.untraced:
            self._records.append(trace.request_record().SerializeToString())
        if remember:
            key = conversation_key(trace.call)
            self._turns.append(trace.turn().SerializeToString(), key)


class _Life:
    """One request's frame: whatever ends it, its outcome is journalled once."""

    def __init__(self, chats: Chats, call: ChatCall, *, streamed: bool) -> None:
        if not call.request_id:
            call.request_id = str(uuid7())
        if not call.caller.user_id:
            call.caller.user_id = chats.default_user
        bind_request_id(call.request_id)
        self.trace = Trace(call, streamed=streamed)
        self._chats = chats
        self._remembered: Remembered | None = None
        self._journalled = False

    async def remember(self, memories: Memories) -> Remembered:
        """Fetch history; note where the answer will be kept."""
        self._remembered = await memories.prepare(self.trace.call)
        self.trace.conversation_id = self._remembered.outcome.conversation_id
        self.trace.parent_head = self._remembered.parent_head
        return self._remembered

    def journal(self) -> None:
        """Write the outcome down, once."""
        if self._journalled:
            return
        self._journalled = True
        keep = self._remembered is not None and self._remembered.keep
        answered = self.trace.status == STATUS_OK or self.trace.first_token_us is not None
        self._chats.keep(self.trace, remember=keep and answered)
        _measure(self.trace)

    def __enter__(self) -> Self:
        telemetry.IN_FLIGHT.inc()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        telemetry.IN_FLIGHT.dec()
        if isinstance(error, ServiceError):
            self.trace.failed(error.reason)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.trace.cancelled()
        elif error is not None:
            self.trace.failed("INTERNAL")
        self.journal()


def _route(candidate: Candidate, trace: Trace) -> Route:
    return Route(
        backend=candidate.backend,
        model=candidate.model,
        reason=candidate.reason,
        fallback_count=max(0, trace.asked_count - 1),
    )


@cache
def _children(endpoint: str, backend: str, status: int) -> tuple[Counter, Histogram, Histogram]:
    """Look up the labelled counters once: prometheus_client does it by locking and hashing."""
    word = Status.Name(Status.ValueType(status)).removeprefix("STATUS_").lower()
    return (
        telemetry.REQUESTS.labels(endpoint, backend, word),
        telemetry.REQUEST_SECONDS.labels(backend),
        telemetry.FIRST_TOKEN_SECONDS.labels(backend),
    )


@cache
def _token_children(backend: str) -> tuple[Counter, Counter]:
    tokens = telemetry.TOKENS
    return tokens.labels("prompt", backend), tokens.labels("completion", backend)


def _measure(trace: Trace) -> None:
    backend = trace.backend or "none"
    requests, seconds, first = _children(trace.call.endpoint or "grpc", backend, trace.status)
    requests.inc()
    seconds.observe(trace.duration_us() / 1e6)
    if trace.first_token_us is not None:
        first.observe(trace.first_token_us / 1e6)
    if usage := trace.usage:
        prompt, completion = _token_children(backend)
        prompt.inc(usage.prompt_tokens)
        completion.inc(usage.completion_tokens)
