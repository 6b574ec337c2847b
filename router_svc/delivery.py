"""What the router's journals deliver, and to whom."""

from __future__ import annotations

import grpc

from lair.memory.v1.conversation_pb2 import Turn
from lair.memory.v1.conversation_service_pb2 import AppendTurnsRequest
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceStub
from svckit.errors import from_rpc_error
from svckit.logging import get_logger
from svckit.outbox import Deliver

log = get_logger(__name__)

_DELIVERY_SECONDS = 10.0


def to_memory(channel: grpc.aio.Channel) -> Deliver:
    """Return what delivers turns to memory_svc."""
    stub = ConversationServiceStub(channel)

    async def deliver(records: list[bytes]) -> None:
        request = AppendTurnsRequest(turns=[Turn.FromString(record) for record in records])
        try:
            reply = await stub.AppendTurns(request, timeout=_DELIVERY_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, "memory") from error
        for refusal in reply.refusals:
            log.error("turn refused", request_id=refusal.request_id, why=refusal.message)

    return deliver


def to_metrics(channel: grpc.aio.Channel) -> Deliver:
    """Return what delivers request records to metrics_svc."""
    stub = UsageServiceStub(channel)

    async def deliver(records: list[bytes]) -> None:
        parsed = [RequestRecord.FromString(record) for record in records]
        request = RecordRequestsRequest(records=parsed)
        try:
            reply = await stub.RecordRequests(request, timeout=_DELIVERY_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, "metrics") from error
        for refusal in reply.refusals:
            log.error("record refused", request_id=refusal.request_id, why=refusal.message)

    return deliver
