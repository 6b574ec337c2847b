"""One text completion, from arrival to record. The life of a chat without memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from lair.router.v1.chat_pb2 import ChatCompletion, ChatEvent
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.router_service_pb2 import CompleteResponse
from router_svc.backends.base import Backend, Completer
from router_svc.catalog import Catalog
from router_svc.choosing import choose_now, who_can
from router_svc.life import Ledger, Life
from router_svc.line import Priority
from router_svc.model import Candidate, UpstreamError
from router_svc.prompt import text_prompt
from router_svc.queue import Ask
from router_svc.relay import Relay
from router_svc.tokens import TokenEstimator
from router_svc.trace import Trace
from router_svc.wishes import ask_of, plain_wish, require_texts


class Completions:
    """Completes texts."""

    def __init__(
        self,
        catalog: Catalog,
        ledger: Ledger,
        *,
        estimator: TokenEstimator,
        default_priority: Priority,
    ) -> None:
        self._catalog = catalog
        self._estimator = estimator
        self._relay = Relay(catalog)
        self._ledger = ledger
        self._default_priority = default_priority

    async def complete(self, call: CompletionCall) -> CompleteResponse:
        """Complete at once. Raises `ServiceError`."""
        with Life(call, self._ledger, streamed=False) as life:
            able, ask = await self._choose(call)

            async def complete(backend: Backend, model: str) -> ChatCompletion:
                return await _completer(backend).complete(call, model)

            completion, candidate = await self._relay.whole(complete, able, life.trace, ask)
            life.trace.completion(completion)
            self._note_speed(life.trace, candidate)
            return CompleteResponse(completion=completion, route=life.route(candidate))

    async def stream(self, call: CompletionCall) -> AsyncGenerator[list[ChatEvent]]:
        """Yield lists of events that were ready together. Raises `ServiceError`."""
        with Life(call, self._ledger, streamed=True) as life:
            able, ask = await self._choose(call)
            stream = self._relay.stream(
                lambda backend, model: _completer(backend).complete_stream(call, model),
                able,
                life.trace,
                ask,
            )
            async with aclosing(stream) as batches:
                async for events, candidate in batches:
                    life.note(events, candidate)
                    if events[-1].HasField("completed"):
                        self._note_speed(life.trace, candidate)
                    yield events

    def _note_speed(self, trace: Trace, candidate: Candidate) -> None:
        if speed := trace.tokens_per_second():
            self._catalog.standings.measured(candidate.backend, speed)

    async def _choose(self, call: CompletionCall) -> tuple[list[Candidate], Ask]:
        require_texts("prompts", call.prompts)
        ask = ask_of(call, self._default_priority)
        wish = plain_wish(call, prompt=text_prompt(call, self._estimator))
        decision = await choose_now(self._catalog, wish, ask)
        return who_can(Completer, decision.candidates, self._catalog, to="complete a text"), ask


def _completer(backend: Backend) -> Completer:
    if not isinstance(backend, Completer):  # a reload put it there while the request waited
        raise UpstreamError("NO_BACKEND", f"it is {backend.kind} now, which completes no texts")
    return backend
