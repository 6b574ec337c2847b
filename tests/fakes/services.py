"""memory_svc and metrics_svc as their contracts promise them, and as often down as a test likes.

`ScriptedMemory` keeps the turns it is given and hands a conversation's back as its
history; `ScriptedMetrics` keeps records by request id, as a receiver that is
idempotent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lair.common.v1.chat_pb2 import Message
from lair.memory.v1 import conversation_service_pb2 as conversations_pb
from lair.memory.v1 import memory_service_pb2 as keeping_pb
from lair.memory.v1 import recall_service_pb2 as recall_pb
from lair.memory.v1.conversation_pb2 import Turn
from lair.memory.v1.conversation_service_pb2_grpc import (
    ConversationServiceServicer,
    add_ConversationServiceServicer_to_server,
)
from lair.memory.v1.memory_service_pb2_grpc import (
    MemoryServiceServicer,
    add_MemoryServiceServicer_to_server,
)
from lair.memory.v1.recall_service_pb2_grpc import (
    RecallServiceServicer,
    add_RecallServiceServicer_to_server,
)
from lair.metrics.v1 import usage_service_pb2 as usage_pb
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2_grpc import (
    UsageServiceServicer,
    add_UsageServiceServicer_to_server,
)
from svckit.errors import ServiceError
from svckit.grpc_server import Servicers

PATIENCE_SECONDS = 10.0


class _Receiver:
    """What both have in common: being down, being slow, and having received."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = asyncio.Condition()
        self.down = False
        # Takes what it is sent, then fails to say so, this many times.
        self.lost_acknowledgements = 0
        # Cleared: calls wait until it is set.
        self.ready = asyncio.Event()
        self.ready.set()
        # Set while a call waits for that.
        self.held = asyncio.Event()

    async def admit(self) -> None:
        if self.down:
            raise ServiceError(
                "SERVICE_UNAVAILABLE", f"the {self._name} service is down", service=self._name
            )
        if not self.ready.is_set():
            self.held.set()
            await self.ready.wait()
            self.held.clear()

    async def acknowledge(self) -> None:
        async with self._changed:
            self._changed.notify_all()
        if self.lost_acknowledgements:
            self.lost_acknowledgements -= 1
            raise ServiceError("SERVICE_UNAVAILABLE", "gone before it answered", service=self._name)

    async def wait_until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(true)


class ScriptedMemory(ConversationServiceServicer, RecallServiceServicer, MemoryServiceServicer):
    """Keeps turns; finds what `passages` says, and recalls `context`."""

    def __init__(self) -> None:
        self.state = _Receiver("memory")
        self.turns: dict[str, Turn] = {}
        self.history_requests: list[conversations_pb.GetHistoryRequest] = []
        self.passages: list[recall_pb.Passage] = []
        self.searches: list[recall_pb.SearchRequest] = []
        # What it recalls, whatever is asked, of `passages`.
        self.context = ""
        self.recall_degraded = ""
        self.recall_requests: list[recall_pb.RecallRequest] = []
        # Cleared: recalls wait until it is set, unlike all else.
        self.recall_ready = asyncio.Event()
        self.recall_ready.set()

    def servicers(self) -> Servicers:
        """Return it as a process part that can be served or called directly."""
        return Servicers(
            "memory",
            (
                conversations_pb.DESCRIPTOR.services_by_name["ConversationService"],
                recall_pb.DESCRIPTOR.services_by_name["RecallService"],
                keeping_pb.DESCRIPTOR.services_by_name["MemoryService"],
            ),
            (
                lambda server: add_ConversationServiceServicer_to_server(self, server),
                lambda server: add_RecallServiceServicer_to_server(self, server),
                lambda server: add_MemoryServiceServicer_to_server(self, server),
            ),
        )

    async def turn(self, number: int = 0) -> Turn:
        """Wait for the turn `number`, counted from 0."""
        await self.state.wait_until(lambda: len(self.turns) > number)
        return list(self.turns.values())[number]

    async def AppendTurns(
        self, request: conversations_pb.AppendTurnsRequest, _: Any
    ) -> conversations_pb.AppendTurnsResponse:
        await self.state.admit()
        for turn in request.turns:
            self.turns.setdefault(turn.request_id, turn)
        await self.state.acknowledge()
        return conversations_pb.AppendTurnsResponse(stored_count=len(request.turns))

    async def GetHistory(
        self, request: conversations_pb.GetHistoryRequest, _: Any
    ) -> conversations_pb.GetHistoryResponse:
        self.history_requests.append(request)
        await self.state.admit()
        turns = [
            turn
            for turn in self.turns.values()
            if (turn.caller.user_id, turn.conversation_id)
            == (request.user_id, request.conversation_id)
        ]
        history: list[Message] = []
        for turn in turns:
            history += [*turn.messages, turn.reply]
        systems = [message.role == "system" for message in request.messages]
        return conversations_pb.GetHistoryResponse(
            history=history,
            insert_index=systems.index(False),
            head=f"head-{len(turns)}" if turns else "",
        )

    async def Search(self, request: recall_pb.SearchRequest, _: Any) -> recall_pb.SearchResponse:
        self.searches.append(request)
        await self.state.admit()
        return recall_pb.SearchResponse(passages=self.passages)

    async def Recall(self, request: recall_pb.RecallRequest, _: Any) -> recall_pb.RecallResponse:
        self.recall_requests.append(request)
        await self.state.admit()
        await self.recall_ready.wait()
        return recall_pb.RecallResponse(
            context=self.context,
            passages=self.passages if self.context else (),
            degraded=self.recall_degraded,
        )


class ScriptedMetrics(UsageServiceServicer):
    """Counts each record once."""

    def __init__(self) -> None:
        self.state = _Receiver("metrics")
        self.records: dict[str, RequestRecord] = {}
        # How often each request's record arrived, repetitions included.
        self.arrivals: list[str] = []

    def servicers(self) -> Servicers:
        """Return it as a process part that can be served or called directly."""
        return Servicers(
            "metrics",
            (usage_pb.DESCRIPTOR.services_by_name["UsageService"],),
            (lambda server: add_UsageServiceServicer_to_server(self, server),),
        )

    async def record(self, number: int = 0) -> RequestRecord:
        """Wait for the record `number`, counted from 0."""
        await self.state.wait_until(lambda: len(self.records) > number)
        return list(self.records.values())[number]

    async def RecordRequests(
        self, request: usage_pb.RecordRequestsRequest, _: Any
    ) -> usage_pb.RecordRequestsResponse:
        await self.state.admit()
        for record in request.records:
            self.arrivals.append(record.request_id)
            self.records.setdefault(record.request_id, record)
        await self.state.acknowledge()
        return usage_pb.RecordRequestsResponse(recorded_count=len(request.records))
