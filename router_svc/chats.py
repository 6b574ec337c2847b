"""One chat from arrival to record. Read this first.

    choose ─▶ history ─▶ relay ─▶ journal the outcome ─▶ last event

The outcome is in the journal before the client sees the end of its answer, so no
finished request is lost by whatever dies next.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from lair.metrics.v1.usage_pb2 import STATUS_OK
from lair.router.v1.chat_pb2 import ChatCall, ChatEvent
from lair.router.v1.router_service_pb2 import ChatResponse
from router_svc.affinity import Affinity
from router_svc.catalog import Catalog
from router_svc.choosing import choose_now
from router_svc.life import Ledger, Life
from router_svc.line import Priority
from router_svc.model import Candidate
from router_svc.policy import Decision, decide
from router_svc.relay import Relay
from router_svc.remembering import Memories, Remembered, conversation_key
from router_svc.trace import Trace
from router_svc.wishes import ask_of, wish_of
from svckit.errors import invalid_field
from svckit.logging import get_logger
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
        ledger: Ledger,
        default_priority: Priority,
    ) -> None:
        self._catalog = catalog
        self._relay = Relay(catalog)
        self._affinity = Affinity()
        self._memories = memories
        self._turns = turns
        self._ledger = ledger
        self._default_priority = default_priority

    async def chat(self, call: ChatCall) -> ChatResponse:
        """Answer at once. Raises `ServiceError`."""
        with Life(call, self._ledger, streamed=False) as life:
            candidates = (await self.decide(call)).candidates
            remembered = await self._remember(call, life)
            ask = ask_of(call, self._default_priority)
            completion, candidate = await self._relay.whole(
                lambda backend, model: backend.chat(remembered.call, model),
                candidates,
                life.trace,
                ask,
            )
            life.trace.completion(completion)
            self._note_answer(call, life.trace, candidate)
            return ChatResponse(
                completion=completion,
                route=life.route(candidate),
                memory=remembered.outcome,
            )

    async def stream(self, call: ChatCall) -> AsyncGenerator[list[ChatEvent]]:
        """Yield lists of events that were ready together. Raises `ServiceError`."""
        with Life(call, self._ledger, streamed=True) as life:
            candidates = (await self.decide(call)).candidates
            remembered = await self._remember(call, life)
            ask = ask_of(call, self._default_priority)
            stream = self._relay.stream(
                lambda backend, model: backend.stream(remembered.call, model),
                candidates,
                life.trace,
                ask,
            )
            async with aclosing(stream) as batches:
                async for events, candidate in batches:
                    if events[0].HasField("started"):
                        events[0].started.memory.CopyFrom(remembered.outcome)
                    life.note(events, candidate)
                    if events[-1].HasField("completed"):
                        self._note_answer(call, life.trace, candidate)
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
        return await choose_now(self._catalog, wish, ask)

    def _note_answer(self, call: ChatCall, trace: Trace, candidate: Candidate) -> None:
        """Remember who answered, and how fast."""
        self._affinity.note(call, candidate.backend, candidate.model)
        if speed := trace.tokens_per_second():
            self._catalog.standings.measured(candidate.backend, speed)

    def journals(self) -> list[tuple[str, int, int]]:
        """Return of each journal whom it is for, how many records wait and were given up."""
        return [
            (box.name, box.pending_count(), box.dropped_count)
            for box in (self._turns, self._ledger.records)
        ]

    async def _remember(self, call: ChatCall, life: Life) -> Remembered:
        """Fetch history; note where the answer will be kept."""
        remembered = await self._memories.prepare(call)
        life.trace.conversation_id = remembered.outcome.conversation_id
        life.trace.parent_head = remembered.parent_head
        if remembered.keep:
            life.at_end = partial(self._keep_turn, call)
        return remembered

    def _keep_turn(self, call: ChatCall, trace: Trace) -> None:
        """Journal what is remembered, if anything was answered."""
        if trace.status == STATUS_OK or trace.first_token_us is not None:
            self._turns.append(trace.turn(call).SerializeToString(), conversation_key(call))
