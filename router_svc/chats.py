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
from router_svc.affinity import Affinity
from router_svc.catalog import Catalog
from router_svc.line import Priority
from router_svc.model import Candidate
from router_svc.policy import Decision, choose, decide
from router_svc.relay import Relay
from router_svc.remembering import Memories, Remembered, conversation_key
from router_svc.trace import Trace
from router_svc.wishes import ask_of, wish_of
from svckit import telemetry
from svckit.errors import ServiceError, invalid_field
from svckit.logging import bind_request_id, get_logger
from svckit.outbox import Outbox
from svckit.times import to_duration

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
        default_priority: Priority,
    ) -> None:
        self._catalog = catalog
        self._relay = Relay(catalog)
        self._affinity = Affinity()
        self._memories = memories
        self._turns = turns
        self._records = records
        self._count = count
        self.default_user = default_user
        self._default_priority = default_priority

    async def chat(self, call: ChatCall) -> ChatResponse:
        """Answer at once. Raises `ServiceError`."""
        with _Life(self, call, streamed=False) as life:
            candidates = (await self.decide(call)).candidates
            remembered = await life.remember(self._memories)
            ask = ask_of(call, self._default_priority)
            completion, candidate = await self._relay.chat(
                remembered.call, candidates, life.trace, ask
            )
            life.trace.completion(completion)
            self._note_answer(life.trace, candidate)
            return ChatResponse(
                completion=completion,
                route=_route(candidate, life.trace),
                memory=remembered.outcome,
            )

    async def stream(self, call: ChatCall) -> AsyncGenerator[list[ChatEvent]]:
        """Yield lists of events that were ready together. Raises `ServiceError`."""
        with _Life(self, call, streamed=True) as life:
            candidates = (await self.decide(call)).candidates
            remembered = await life.remember(self._memories)
            ask = ask_of(call, self._default_priority)
            stream = self._relay.stream(remembered.call, candidates, life.trace, ask)
            async with aclosing(stream) as batches:
                async for events, candidate in batches:
                    if events[0].HasField("started"):
                        events[0].started.route.CopyFrom(_route(candidate, life.trace))
                        events[0].started.memory.CopyFrom(remembered.outcome)
                    life.trace.events(events)
                    if events[-1].HasField("completed"):
                        self._note_answer(life.trace, candidate)
                        life.journal()
                    yield events

    def explain(self, call: ChatCall) -> Decision:
        """Decide without running anything."""
        ask = ask_of(call, self._default_priority)
        return decide(wish_of(call, self._affinity.last(call)), self._catalog.known(ask))

    async def decide(self, call: ChatCall) -> Decision:
        """Decide who may answer. Raises `ServiceError`."""
        if not call.messages:
            raise invalid_field("messages", "messages is empty; send at least one")
        wish = wish_of(call, self._affinity.last(call))
        ask = ask_of(call, self._default_priority)
        try:
            return choose(wish, self._catalog.known(ask))
        except ServiceError as error:
            if error.reason not in ("MODEL_NOT_FOUND", "NO_BACKEND"):
                raise
        # A model may have been pulled, or a server started, since the last look.
        await self._catalog.refresh(if_older=True)
        return choose(wish, self._catalog.known(ask))

    def _note_answer(self, trace: Trace, candidate: Candidate) -> None:
        """Remember who answered, and how fast."""
        self._affinity.note(trace.call, candidate.backend, candidate.model)
        if speed := trace.tokens_per_second():
            self._catalog.standings.measured(candidate.backend, speed)

    def journals(self) -> list[tuple[str, int, int]]:
        """Return of each journal whom it is for, how many records wait and were given up."""
        return [
            (box.name, box.pending_count(), box.dropped_count)
            for box in (self._turns, self._records)
        ]

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
        queue_duration=to_duration(trace.queue_us),
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
