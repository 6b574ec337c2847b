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
from lair.memory.v1.conversation_service_pb2 import GetHistoryRequest
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
        policy = call.memory.policy
        stores = (
            bool(given)
            if policy == MEMORY_POLICY_UNSPECIFIED
            else policy
            not in (
                MEMORY_POLICY_OFF,
                MEMORY_POLICY_RECALL,
            )
        )
        outcome = MemoryOutcome(conversation_id=given if stores else "")
        remembered = Remembered(call, outcome)
        if not stores:
            return remembered
        if call.untraced:
            outcome.conversation_id = ""
            outcome.degraded = "off: X-Enable-Tracing is false"
            return remembered
        if not self._enabled:
            outcome.degraded = "memory is switched off (memory.enabled)"
            return remembered
        remembered.keep = True
        if policy == MEMORY_POLICY_FULL:
            outcome.degraded = "recall of other conversations is not available yet"
        if given:
            await self._add_history(remembered)
        else:
            outcome.conversation_id = derived_id(call)
        return remembered

    async def _add_history(self, remembered: Remembered) -> None:
        call, outcome = remembered.call, remembered.outcome
        if not any(message.role == "assistant" for message in call.messages):
            remembered.parent_head = _ACTIVE_HEAD  # until memory names it; should it be late
        # The previous turn may still be on its way to memory: wait for it.
        key = conversation_key(call)
        if not await self._outbox.wait_delivered(key, self._timeout):
            outcome.degraded = "memory service down or late: history left out"
            return
        request = GetHistoryRequest(
            user_id=call.caller.user_id,
            conversation_id=outcome.conversation_id,
            messages=call.messages,
        )
        try:
            # gRPC's own deadline does not pass while the socket of a frozen peer is full.
            async with asyncio.timeout(self._timeout):
                reply = await self._conversations.GetHistory(request, timeout=self._timeout)
        except TimeoutError:
            outcome.degraded = "memory service down or late: history left out"
            return
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error, "memory")
            if failure.reason.startswith("INVALID_"):
                raise failure from error
            log.warning("chat goes on without history", error=failure.message)
            outcome.degraded = "memory service down or late: history left out"
            return
        remembered.parent_head = reply.head
        if reply.history:
            remembered.call = _with_history(call, reply.history, reply.insert_index)
            outcome.history_count = len(reply.history)


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
