"""The router's side of memory_svc: history in, within a time limit; the rest by outbox.

What other conversations have to say is `recalling.py`'s. A chat never fails for its memory:
without it the chat goes on, and `MemoryOutcome` says why. The one exception is a chat that
continues an earlier answer by its request (`after_request_id`): told without what it refers
to, it would be another chat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import grpc

from lair.common.v1.chat_pb2 import Message
from lair.memory.v1.conversation_pb2 import Turn
from lair.memory.v1.conversation_service_pb2 import GetHistoryRequest, GetHistoryResponse
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_FULL,
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_RECALL,
    MEMORY_POLICY_STORE,
    MEMORY_POLICY_UNSPECIFIED,
    ChatCall,
    MemoryHints,
    MemoryOutcome,
    MemoryPolicy,
)
from router_svc.recognising import Recognising
from svckit.errors import ServiceError, from_rpc_error, invalid_field
from svckit.logging import get_logger
from svckit.outbox import Outbox

log = get_logger(__name__)

_MAX_ID_CHARACTERS = 256
_MAX_RECORD_BYTES = 256 * 1024  # what memory keeps
# No head that a conversation can have: memory_svc then continues its active path.
_ACTIVE_HEAD = "active"
# How long a chat waits that cannot go on without its history, if not longer anyway.
_PATIENCE_SECONDS = 5.0
_OFF = "off"
_POLICIES = {
    "store": MEMORY_POLICY_STORE,
    "recall": MEMORY_POLICY_RECALL,
    "full": MEMORY_POLICY_FULL,
}
_NOT_KEPT = (MEMORY_POLICY_OFF, MEMORY_POLICY_RECALL)
_RECALLED_FOR = (MEMORY_POLICY_RECALL, MEMORY_POLICY_FULL)

# What `MemoryOutcome.degraded` says.
_UNTRACED = "off: X-Enable-Tracing is false"
_DISABLED = "memory is switched off (memory.enabled)"
_PROJECT_IS_OFF = "off: the project's memory policy"
_HISTORY_LEFT_OUT = "memory service down or late: history left out"


@dataclass(slots=True)
class Remembered:
    """What memory gave to a request, and what it is to do with it.

    `keep` says that the request is stored, `recall` that other conversations are searched.
    """

    call: ChatCall
    outcome: MemoryOutcome
    parent_head: str = ""
    keep: bool = False
    recall: bool = False


class Memories:
    """Puts a conversation's history in front of a call."""

    def __init__(
        self,
        memory: grpc.aio.Channel,
        outbox: Outbox,
        *,
        enabled: bool,
        timeout_seconds: float,
        policy_of: Callable[[str], str] = lambda _: "",
    ) -> None:
        """Wait for history so long; `policy_of` tells a project's memory policy, if it has one."""
        self._conversations = ConversationServiceStub(memory)
        self._outbox = outbox
        self._enabled = enabled
        self._timeout = timeout_seconds
        self._policy_of = policy_of
        self._recognising = Recognising()

    async def prepare(self, call: ChatCall) -> Remembered:
        """Return the call as it goes to a backend.

        Raises INVALID_FIELD for hints that cannot be followed, and for a chat that continues
        an earlier answer TURN_NOT_FOUND or SERVICE_UNAVAILABLE.
        """
        _check(call.memory)
        remembered = self._begin(call)
        if call.memory.after_request_id:
            await self._add_what_it_continues(remembered)
        elif remembered.keep and call.memory.conversation_id:
            await self._add_history(remembered)
        return remembered

    def keep(self, call: ChatCall, turn: Turn) -> None:
        """Journal what is remembered of a finished call."""
        self._outbox.append(turn.SerializeToString(), conversation_key(call))
        if not call.memory.conversation_id:
            self._recognising.note(turn)

    def _begin(self, call: ChatCall) -> Remembered:
        """Decide what memory does for the turn, and in which conversation it is kept."""
        standing = self._policy_of(call.caller.project)
        policy = call.memory.policy or _POLICIES.get(standing, MEMORY_POLICY_UNSPECIFIED)
        keep, recall = _is_to_be_kept(call, policy), policy in _RECALLED_FOR
        if not keep and not recall:
            return Remembered(call, MemoryOutcome())
        if standing == _OFF:
            return Remembered(call, MemoryOutcome(degraded=_PROJECT_IS_OFF))
        if call.untraced:
            return Remembered(call, MemoryOutcome(degraded=_UNTRACED))
        given = call.memory.conversation_id if keep else ""
        if not self._enabled:
            return Remembered(call, MemoryOutcome(conversation_id=given, degraded=_DISABLED))
        if not keep:
            return Remembered(call, MemoryOutcome(), recall=recall)
        _check_record(call.memory.record_json)
        outcome = MemoryOutcome(conversation_id=given or self._recognising.name(call))
        return Remembered(call, outcome, keep=keep, recall=recall)

    async def _add_what_it_continues(self, remembered: Remembered) -> None:
        """Put what led to the earlier answer in front, whether or not the turn is kept."""
        after = remembered.call.memory.after_request_id
        is_off = self._policy_of(remembered.call.caller.project) == _OFF
        if is_off or not self._enabled:
            raise ServiceError(
                "TURN_NOT_FOUND",
                f"no answer to the request {after!r} is kept: "
                f"{_PROJECT_IS_OFF if is_off else _DISABLED}",
                request_id=after,
            )
        past = await self._history(remembered.call, max(self._timeout, _PATIENCE_SECONDS))
        if past is None:
            raise ServiceError(
                "SERVICE_UNAVAILABLE",
                f"the answer to the request {after!r} cannot be continued: the memory service "
                "is down or late; see /health",
                service="memory",
            )
        _put_in_front(remembered, past)

    async def _add_history(self, remembered: Remembered) -> None:
        call, outcome = remembered.call, remembered.outcome
        if not any(message.role == "assistant" for message in call.messages):
            remembered.parent_head = _ACTIVE_HEAD  # until memory names it; should it be late
        past = await self._history(call, self._timeout)
        if past is None:
            outcome.degraded = _HISTORY_LEFT_OUT
        else:
            _put_in_front(remembered, past)

    async def _history(self, call: ChatCall, seconds: float) -> GetHistoryResponse | None:
        """Ask for the history of a conversation; None where memory is down or late."""
        # The previous turn may still be on its way to memory: wait for it.
        if not await self._outbox.wait_delivered(conversation_key(call), seconds):
            return None
        request = GetHistoryRequest(
            user_id=call.caller.user_id,
            conversation_id=call.memory.conversation_id,
            messages=call.messages,
            after_request_id=call.memory.after_request_id,
            retry_of=call.retry_of,
        )
        try:
            # gRPC's own deadline does not pass while the socket of a frozen peer is full.
            async with asyncio.timeout(seconds):
                return await self._conversations.GetHistory(request, timeout=seconds)
        except TimeoutError:
            return None
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error, "memory")
            if failure.reason == "TURN_NOT_FOUND" or failure.reason.startswith("INVALID_"):
                raise failure from error
            log.warning("no history", error=failure.message)
            return None


def conversation_key(call: ChatCall) -> str:
    """Name the conversation of a call among all users'."""
    return f"{call.caller.user_id}\x1f{call.memory.conversation_id}"


def _check(hints: MemoryHints) -> None:
    if (length := len(hints.conversation_id)) > _MAX_ID_CHARACTERS:
        raise invalid_field(
            "X-Conversation-ID", f"it has {length} characters; at most 256 are kept"
        )
    if hints.after_request_id and not hints.conversation_id:
        raise invalid_field(
            "memory.conversation_id",
            "memory.conversation_id is empty; send the conversation of memory.after_request_id",
        )


def _check_record(record: bytes) -> None:
    if len(record) > _MAX_RECORD_BYTES:
        raise invalid_field(
            "memory.record_json",
            f"memory.record_json has {len(record)} bytes; at most {_MAX_RECORD_BYTES} are kept",
        )


def _is_to_be_kept(call: ChatCall, policy: MemoryPolicy.ValueType) -> bool:
    """Tell whether the caller wants the turn stored; a conversation's id alone says so."""
    if policy == MEMORY_POLICY_UNSPECIFIED:
        return bool(call.memory.conversation_id)
    return policy not in _NOT_KEPT


def _put_in_front(remembered: Remembered, past: GetHistoryResponse) -> None:
    remembered.parent_head = past.head
    if past.history:
        remembered.call = _with_history(remembered.call, past.history, past.insert_index)
        remembered.outcome.history_count = len(past.history)


def _with_history(call: ChatCall, history: Iterable[Message], index: int) -> ChatCall:
    full = ChatCall()
    full.CopyFrom(call)
    del full.messages[:]
    full.messages.extend(call.messages[:index])
    for message in history:
        past = full.messages.add()
        past.CopyFrom(message)
        past.ClearField("reasoning")  # some servers refuse it, and none needs it
    full.messages.extend(call.messages[index:])
    return full
