"""One chat from arrival to record. Read this first.

    history ─▶ choose ─▶ recall ─▶ relay ─▶ journal the outcome ─▶ last event

The outcome is in the journal before the client sees the end of its answer, so no
finished request is lost by whatever dies next.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import NamedTuple
from uuid import UUID

from lair.router.v1.chat_pb2 import ChatCall, ChatEvent, MemoryOutcome
from lair.router.v1.router_service_pb2 import ChatResponse
from router_svc.affinity import Affinity, conversation_digest
from router_svc.catalog import Catalog
from router_svc.choosing import choose_now
from router_svc.fitting import Fitting
from router_svc.inserting import inserted, place_for
from router_svc.life import Ledger, Life
from router_svc.line import Priority
from router_svc.model import Candidate, UpstreamError
from router_svc.policy import Decision, Wish, decide
from router_svc.prompt import Prompt, chat_prompt
from router_svc.queue import Ask
from router_svc.recalling import Recalling
from router_svc.relay import Relay
from router_svc.remembering import Memories, Remembered
from router_svc.summarising import Summarising
from router_svc.tokens import TokenEstimator
from router_svc.trace import Trace
from router_svc.wishes import ask_of, wish_of
from svckit.errors import invalid_field
from svckit.logging import get_logger
from svckit.outbox import Outbox

log = get_logger(__name__)


class _Ready(NamedTuple):
    """A chat with its history and what was recalled for it, on its way to its candidates."""

    digest: bytes
    remembered: Remembered
    fitting: Fitting
    ask: Ask

    def outcome(self) -> MemoryOutcome:
        """Say what memory did, now that the prompt is fitted."""
        outcome, cut = self.remembered.outcome, self.fitting.cut
        if cut and cut.recall:
            outcome.recall_count = 0
        return outcome


class Chats:
    """Answers chats; with `summarising`, turns that no longer fit are summarised."""

    def __init__(
        self,
        catalog: Catalog,
        memories: Memories,
        recalling: Recalling,
        *,
        turns: Outbox,
        ledger: Ledger,
        estimator: TokenEstimator,
        default_priority: Priority,
        summarising: Summarising | None = None,
    ) -> None:
        self._catalog = catalog
        self._relay = Relay(catalog)
        self._affinity = Affinity()
        self._memories = memories
        self._recalling = recalling
        self._turns = turns
        self._ledger = ledger
        self._estimator = estimator
        self._default_priority = default_priority
        self._summarising = summarising

    async def chat(self, call: ChatCall) -> ChatResponse:
        """Answer at once. Raises `ServiceError`."""
        with Life(call, self._ledger, streamed=False) as life:
            ready = await self._prepare(call, life)
            fitting = ready.fitting
            completion, candidate = await self._relay.whole(
                fitting.chat, fitting.candidates, life.trace, ready.ask
            )
            completion.id = answer_id(call) or completion.id
            life.trace.completion(completion)
            self._note_answer(ready, life.trace, candidate)
            route = life.route(candidate)
            if fitting.cut:
                route.context_cut = fitting.cut.summary()
            return ChatResponse(completion=completion, route=route, memory=ready.outcome())

    async def stream(self, call: ChatCall) -> AsyncGenerator[list[ChatEvent]]:
        """Yield lists of events that were ready together. Raises `ServiceError`."""
        with Life(call, self._ledger, streamed=True) as life:
            ready = await self._prepare(call, life)
            fitting = ready.fitting
            stream = self._relay.stream(fitting.stream, fitting.candidates, life.trace, ready.ask)
            async with aclosing(stream) as batches:
                async for events, candidate in batches:
                    started = events[0].HasField("started")
                    if started:
                        events[0].started.id = answer_id(call) or events[0].started.id
                        events[0].started.memory.CopyFrom(ready.outcome())
                    life.note(events, candidate)
                    if started and fitting.cut:
                        events[0].started.route.context_cut = fitting.cut.summary()
                    if events[-1].HasField("completed"):
                        self._note_answer(ready, life.trace, candidate)
                    yield events

    def explain(self, call: ChatCall) -> Decision:
        """Decide without running anything, and without the conversation's history."""
        wish, prompt, ask = self._wish(call)
        decision = decide(wish, self._catalog.known(ask))
        told = tuple(_with_numbers(candidate, prompt) for candidate in decision.candidates)
        return replace(decision, candidates=told)

    async def first_choice(self, call: ChatCall) -> tuple[Candidate, Prompt]:
        """Return who would be asked first, and what. Raises `ServiceError`."""
        _require_messages(call)
        wish, prompt, ask = self._wish(call)
        return (await choose_now(self._catalog, wish, ask)).candidates[0], prompt

    def _wish(self, call: ChatCall) -> tuple[Wish, Prompt, Ask]:
        """Return what a chat that is not run would wish for."""
        call.caller.user_id = call.caller.user_id or self._ledger.default_user
        prompt = chat_prompt(call, self._estimator)
        wish = wish_of(call, self._affinity.last(conversation_digest(call)), prompt)
        return wish, prompt, ask_of(call, self._default_priority)

    async def _prepare(self, call: ChatCall, life: Life) -> _Ready:
        """Put the history in front, decide who may answer, recall. Raises `ServiceError`."""
        _require_messages(call)
        ask = ask_of(call, self._default_priority)
        remembered = await self._remember(call, life)
        full = remembered.call
        prompt = chat_prompt(full, self._estimator)
        digest = conversation_digest(call)
        wish = wish_of(full, self._affinity.last(digest), prompt)
        decision = await choose_now(self._catalog, wish, ask)
        fitting = await self._fitting(remembered, prompt, decision.candidates, life.trace)
        life.trace.fitting = fitting
        if self._summarising:
            await self._summarising.prepare(full, fitting)
        return _Ready(digest, remembered, fitting, ask)

    async def _fitting(
        self,
        remembered: Remembered,
        prompt: Prompt,
        candidates: Sequence[Candidate],
        trace: Trace,
    ) -> Fitting:
        """Recall what the chat asks for, and have the prompt fitted with it.

        Behind the choice, which it must not change: what was recalled gives way first.
        """
        call = remembered.call
        place = place_for(call.messages) if remembered.recall else None
        text = ""
        if place is not None and not self._is_built_in(candidates[0]):
            begun = time.perf_counter()
            text = await self._recalling.recall(remembered, candidates[0])
            trace.recalled(begun)
        if place is None or not text:
            return Fitting(call, prompt, candidates)
        longer = inserted(call, place, text)
        prompt = chat_prompt(longer, self._estimator, recall_index=place)
        return Fitting(longer, prompt, candidates, recall_index=place)

    def _is_built_in(self, candidate: Candidate) -> bool:
        """Tell whether the candidate is lair's own, which looks into memory by itself."""
        try:
            return self._catalog.backend(candidate.backend).last_resort
        except UpstreamError:
            return False  # the attempt tells

    def _note_answer(self, ready: _Ready, trace: Trace, candidate: Candidate) -> None:
        """Remember who answered, how fast, and what it counted."""
        self._affinity.note(ready.digest, candidate.backend, candidate.model)
        ready.fitting.learn(candidate, trace.usage)
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
        if trace.answered:
            self._memories.keep(call, trace.turn(call))


def answer_id(call: ChatCall) -> str:
    """Return the id of the answer to a request, which its request can be found by.

    Empty where the request's own id is no UUID: the backend's id has to do.
    """
    try:
        return f"chatcmpl-{UUID(call.request_id).hex}"
    except ValueError:
        return ""


def _require_messages(call: ChatCall) -> None:
    if not call.messages:
        raise invalid_field("messages", "messages is empty; send at least one")


def _with_numbers(candidate: Candidate, prompt: Prompt) -> Candidate:
    """Tell what the prompt takes of the candidate's window, where that is known."""
    if not candidate.window:
        return candidate
    tokens = prompt.tokens(candidate.backend, candidate.model)
    numbers = f"prompt of about {tokens} tokens, context of {candidate.window}"
    return candidate._replace(reasons=(*candidate.reasons, numbers))
