"""What the router's journals deliver, and to whom."""

from __future__ import annotations

import grpc

from lair.memory.v1.conversation_pb2 import Turn
from lair.memory.v1.conversation_service_pb2 import AppendTurnsRequest
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceStub
from svckit.deadline import within
from svckit.logging import get_logger
from svckit.outbox import Deliver

log = get_logger(__name__)

_DELIVERY_SECONDS = 10.0


def to_memory(channel: grpc.aio.Channel) -> Deliver:
    """Return what delivers turns to memory_svc."""
    stub = ConversationServiceStub(channel)

    async def deliver(records: list[bytes]) -> None:
        request = AppendTurnsRequest(turns=[Turn.FromString(record) for record in records])
        call = stub.AppendTurns(request, timeout=_DELIVERY_SECONDS)
        reply = await within(_DELIVERY_SECONDS, call, service="memory")
        for refusal in reply.refusals:
            log.error("turn refused", request_id=refusal.request_id, why=refusal.message)

    return deliver


def to_metrics(channel: grpc.aio.Channel) -> Deliver:
    """Return what delivers request records to metrics_svc."""
    stub = UsageServiceStub(channel)

    async def deliver(records: list[bytes]) -> None:
        parsed = [RequestRecord.FromString(record) for record in records]
        request = RecordRequestsRequest(records=parsed)
        call = stub.RecordRequests(request, timeout=_DELIVERY_SECONDS)
        reply = await within(_DELIVERY_SECONDS, call, service="metrics")
        for refusal in reply.refusals:
            log.error("record refused", request_id=refusal.request_id, why=refusal.message)

    return deliver
