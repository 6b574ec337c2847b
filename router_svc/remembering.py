"""The router's side of memory_svc: history in, within a time limit; the rest by outbox.

A chat never fails for its memory: without it the chat goes on, and `MemoryOutcome`
says why.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import grpc

from lair.common.v1.chat_pb2 import Message
from lair.memory.v1.conversation_service_pb2 import GetHistoryRequest, GetHistoryResponse
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_FULL,
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_RECALL,
    MEMORY_POLICY_UNSPECIFIED,
    ChatCall,
    MemoryOutcome,
)
from svckit.errors import from_rpc_error, invalid_field
from svckit.logging import get_logger
from svckit.outbox import Outbox

log = get_logger(__name__)

_MAX_ID_CHARACTERS = 256
# No head that a conversation can have: memory_svc then continues its active path.
_ACTIVE_HEAD = "active"
_NOT_KEPT = (MEMORY_POLICY_OFF, MEMORY_POLICY_RECALL)

# What `MemoryOutcome.degraded` says.
_UNTRACED = "off: X-Enable-Tracing is false"
_DISABLED = "memory is switched off (memory.enabled)"
_NO_RECALL = "recall of other conversations is not available yet"
_HISTORY_LEFT_OUT = "memory service down or late: history left out"


@dataclass(slots=True)
class Remembered:
    """What memory gave to a request, and whether the request is to be kept."""

    call: ChatCall
    outcome: MemoryOutcome
    parent_head: str = ""
    keep: bool = False


class Memories:
    """Puts a conversation's history in front of a call."""

    def __init__(
        self, memory: grpc.aio.Channel, outbox: Outbox, *, enabled: bool, timeout_seconds: float
    ) -> None:
        self._conversations = ConversationServiceStub(memory)
        self._outbox = outbox
        self._enabled = enabled
        self._timeout = timeout_seconds

    async def prepare(self, call: ChatCall) -> Remembered:
        """Return the call as it goes to a backend. Raises INVALID_FIELD for a bad id."""
        given = call.memory.conversation_id
        if len(given) > _MAX_ID_CHARACTERS:
            raise invalid_field(
                "X-Conversation-ID", f"it has {len(given)} characters; at most 256 are kept"
            )
        if not _is_to_be_kept(call):
            return Remembered(call, MemoryOutcome())
        if call.untraced:
            return Remembered(call, MemoryOutcome(degraded=_UNTRACED))
        if not self._enabled:
            return Remembered(call, MemoryOutcome(conversation_id=given, degraded=_DISABLED))
        outcome = MemoryOutcome(conversation_id=given or derived_id(call))
        if call.memory.policy == MEMORY_POLICY_FULL:
            outcome.degraded = _NO_RECALL
        remembered = Remembered(call, outcome, keep=True)
        if given:
            await self._add_history(remembered)
        return remembered

    async def _add_history(self, remembered: Remembered) -> None:
        call, outcome = remembered.call, remembered.outcome
        if not any(message.role == "assistant" for message in call.messages):
            remembered.parent_head = _ACTIVE_HEAD  # until memory names it; should it be late
        past = await self._history(call)
        if past is None:
            outcome.degraded = _HISTORY_LEFT_OUT
            return
        remembered.parent_head = past.head
        if past.history:
            remembered.call = _with_history(call, past.history, past.insert_index)
            outcome.history_count = len(past.history)

    async def _history(self, call: ChatCall) -> GetHistoryResponse | None:
        """Ask for the history of a conversation; None where memory is down or late."""
        # The previous turn may still be on its way to memory: wait for it.
        if not await self._outbox.wait_delivered(conversation_key(call), self._timeout):
            return None
        request = GetHistoryRequest(
            user_id=call.caller.user_id,
            conversation_id=call.memory.conversation_id,
            messages=call.messages,
        )
        try:
            # gRPC's own deadline does not pass while the socket of a frozen peer is full.
            async with asyncio.timeout(self._timeout):
                return await self._conversations.GetHistory(request, timeout=self._timeout)
        except TimeoutError:
            return None
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error, "memory")
            if failure.reason.startswith("INVALID_"):
                raise failure from error
            log.warning("chat goes on without history", error=failure.message)
            return None


def conversation_key(call: ChatCall) -> str:
    """Name the conversation of a call among all users'."""
    return f"{call.caller.user_id}\x1f{call.memory.conversation_id}"


def derived_id(call: ChatCall) -> str:
    """Name the conversation of a client that resends its history but gives no id.

    The first message of the user stays the same over the whole conversation.
    """
    first = next((m for m in call.messages if m.role == "user"), Message())
    owner = f"{call.caller.user_id}\x1f{call.caller.session_id}\x1f".encode()
    digest = hashlib.blake2b(owner + first.SerializeToString(deterministic=True), digest_size=12)
    return f"conv-{digest.hexdigest()}"


def _is_to_be_kept(call: ChatCall) -> bool:
    """Tell whether the caller wants the turn stored; a conversation's id alone says so."""
    policy = call.memory.policy
    if policy == MEMORY_POLICY_UNSPECIFIED:
        return bool(call.memory.conversation_id)
    return policy not in _NOT_KEPT


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
