"""Has the turns that no longer fit summarised, where `router.summary_model` names a model.

A summary is a request of lair's own: it waits in the queue like any other and is counted
with its tokens, but not as its user's activity. It goes no further than the chat it is
for may go, and is neither remembered nor summarised itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lair.common.v1.chat_pb2 import Message
from lair.metrics.v1.usage_pb2 import ORIGIN_INTERNAL
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_RECALL,
    ChatCall,
    RouteHints,
)
from router_svc.affinity import conversation_digest
from router_svc.catalog import Catalog
from router_svc.choosing import choose_now
from router_svc.fitting import Fitting
from router_svc.life import Ledger, Life
from router_svc.line import Priority
from router_svc.model import Candidate, UpstreamError
from router_svc.prompt import chat_prompt
from router_svc.relay import Relay
from router_svc.summary import SUMMARY_TOKENS, Summaries
from router_svc.tokens import TokenEstimator
from router_svc.wishes import ask_of, wish_of
from svckit.errors import ServiceError
from svckit.logging import bind_request_id

ENDPOINT = "summary"
CLIENT = "lair/summary"
# Most of it is for the reasoning that some models put before the summary.
_MOST_TOKENS = 4 * SUMMARY_TOKENS
_NOTHING_KEPT = (MEMORY_POLICY_OFF, MEMORY_POLICY_RECALL)


class Summarising:
    """Asks `model`, a name that a client could ask for, for summaries."""

    def __init__(
        self,
        model: str,
        catalog: Catalog,
        ledger: Ledger,
        *,
        estimator: TokenEstimator,
        default_priority: Priority,
    ) -> None:
        self._model = model
        self._catalog = catalog
        self._relay = Relay(catalog)
        self._ledger = ledger
        self._estimator = estimator
        self._default_priority = default_priority
        self._summaries = Summaries()

    async def prepare(self, call: ChatCall, fitting: Fitting) -> None:
        """Fit `call` for its first candidate, with a summary of what is cut.

        Not for who wants nothing kept: a summary outlives its request.
        """
        if call.untraced or call.memory.policy in _NOTHING_KEPT:
            return
        try:
            backend = self._catalog.backend(fitting.candidates[0].backend)
        except UpstreamError:
            return  # the attempt tells
        owner = (call.caller.user_id, conversation_digest(call).hex())
        write = partial(self._write, call)
        await fitting.fit_ahead(backend, partial(self._summaries.fit, owner, write))

    async def _write(self, chat: ChatCall, messages: Sequence[Message]) -> str:
        """Return the model's reply to `messages`, on behalf of `chat`."""
        call = self._call(chat, messages)
        try:
            with Life(call, self._ledger, streamed=False) as life:
                life.trace.origin = ORIGIN_INTERNAL
                ask = ask_of(call, self._default_priority)
                wish = wish_of(call, None, chat_prompt(call, self._estimator))
                decision = await choose_now(self._catalog, wish, ask)
                completion, _ = await self._relay.whole(
                    lambda backend, model: backend.chat(call, model),
                    self._left_in_peace(decision.candidates),
                    life.trace,
                    ask,
                )
                life.trace.completion(completion)
                return completion.choices[0].message.text
        finally:
            bind_request_id(chat.request_id)

    def _left_in_peace(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Pass over backends in gaming mode, which the summary's model names and nobody else.

        Raises NO_BACKEND where that is all of them.
        """
        gaming = self._catalog.standings.gaming
        held = {backend.name for backend, *_ in self._catalog.backends() if gaming(backend)}
        free = [candidate for candidate in candidates if candidate.backend not in held]
        if not free:
            raise ServiceError("NO_BACKEND", f"{self._model} is in gaming mode")
        return free

    def _call(self, chat: ChatCall, messages: Sequence[Message]) -> ChatCall:
        call = ChatCall(
            model=self._model,
            messages=messages,
            max_tokens=_MOST_TOKENS,
            temperature=0,
            route=RouteHints(local_only=chat.route.local_only, priority=chat.route.priority),
            endpoint=ENDPOINT,
        )
        call.caller.CopyFrom(chat.caller)
        call.caller.client = CLIENT
        call.memory.policy = MEMORY_POLICY_OFF
        return call
