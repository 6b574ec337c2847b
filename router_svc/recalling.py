"""Asks memory_svc what of a user's other conversations bears on a chat, within a time limit.

Without an answer in time the chat goes on, and `MemoryOutcome` says so. What is found and
how it reads is memory_svc's; where in the prompt it goes, `inserting.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc

from lair.common.v1.chat_pb2 import Message
from lair.memory.v1.recall_service_pb2 import RecallRequest, RecallResponse, SearchFilter
from lair.memory.v1.recall_service_pb2_grpc import RecallServiceStub
from router_svc.model import Candidate
from router_svc.recognising import derived_id
from router_svc.remembering import Remembered
from router_svc.tokens import START_RATIO, TokenEstimator
from svckit.deadline import within
from svckit.errors import ServiceError
from svckit.logging import get_logger

log = get_logger(__name__)

# Of a model's window.
_SHARE = 4
# Of the prompt, what tells what is asked and what is known already.
_MOST_MESSAGES = 40
_MOST_CHARACTERS = 4000
_SPOKEN = ("user", "assistant")

# What `MemoryOutcome.degraded` says.
_SWITCHED_OFF = "recall is switched off (memory.recall)"
_LEFT_OUT = "memory service down or late: recall left out"
_BOTH_LEFT_OUT = "memory service down or late: history and recall left out"


class Recalling:
    """Recalls at most `tokens` tokens, within `timeout_seconds`."""

    def __init__(
        self,
        memory: grpc.aio.Channel,
        estimator: TokenEstimator,
        *,
        enabled: bool,
        timeout_seconds: float,
        tokens: int,
    ) -> None:
        self._service = RecallServiceStub(memory)
        self._estimator = estimator
        self._enabled = enabled
        self._timeout = timeout_seconds
        self._tokens = tokens

    async def recall(self, remembered: Remembered, candidate: Candidate) -> str:
        """Return the text for the prompt of `candidate`, empty for none; note what was done."""
        outcome = remembered.outcome
        if not self._enabled:
            outcome.degraded = _join(outcome.degraded, _SWITCHED_OFF)
            return ""
        if outcome.degraded:  # memory has just been waited for in vain
            outcome.degraded = _BOTH_LEFT_OUT
            return ""
        recalled = await self._ask(remembered, candidate)
        if recalled is None:
            outcome.degraded = _LEFT_OUT
            return ""
        outcome.degraded = recalled.degraded
        outcome.recall_count = len(recalled.passages)
        return recalled.context

    async def _ask(self, remembered: Remembered, candidate: Candidate) -> RecallResponse | None:
        call = remembered.call
        conversation = remembered.outcome.conversation_id or call.memory.conversation_id
        request = RecallRequest(
            user_id=call.caller.user_id,
            messages=_told(call.messages),
            token_budget=self._budget(candidate),
            filter=SearchFilter(exclude_conversation_id=conversation or derived_id(call)),
            # Where nothing is to be kept, neither is what was recalled.
            request_id=call.request_id if remembered.keep else "",
            project=call.caller.project,
        )
        asked = self._service.Recall(request, timeout=self._timeout)
        try:
            return await within(self._timeout, asked, service="memory")
        except ServiceError as error:
            log.warning("no recall", error=error.message)
            return None

    def _budget(self, candidate: Candidate) -> int:
        if not candidate.window:
            return self._tokens
        # Memory counts in tokens of common length, the window in its model's own.
        ratio = self._estimator.ratio(candidate.backend, candidate.model)
        share = int(candidate.window / _SHARE * ratio / START_RATIO)
        return max(1, min(self._tokens, share))


def _told(messages: Iterable[Message]) -> list[Message]:
    """Return what was said last, without pictures and in handy pieces."""
    spoken = [message for message in messages if message.role in _SPOKEN]
    return [
        Message(role=message.role, text=_shortened(_text_of(message)))
        for message in spoken[-_MOST_MESSAGES:]
    ]


def _text_of(message: Message) -> str:
    if message.HasField("parts"):
        return "\n".join(part.text for part in message.parts.parts if part.text)
    return message.text


def _shortened(text: str) -> str:
    half = _MOST_CHARACTERS // 2
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:half]} {text[-half:]}"


def _join(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))
