"""The services behind the gateway: their stubs, the time each call may take, errors.

What a service's status means is decided once, here: callers see `ServiceError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import grpc
from grpc_health.v1.health_pb2_grpc import HealthStub

from gateway.limits import Limits
from gateway.metering import counted, prompt_counted, spend
from lair.common.v1.monitoring_service_pb2_grpc import MonitoringServiceStub
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.memory.v1.memory_service_pb2_grpc import MemoryServiceStub
from lair.memory.v1.recall_service_pb2_grpc import RecallServiceStub
from lair.metrics.v1.report_service_pb2 import ExportUsageRequest, ExportUsageResponse
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceStub
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall
from lair.router.v1.router_service_pb2 import (
    ChatRequest,
    ChatResponse,
    ChatStreamRequest,
    ChatStreamResponse,
    CompleteRequest,
    CompleteResponse,
    CompleteStreamRequest,
    CompleteStreamResponse,
    EmbedRequest,
    EmbedResponse,
    WatchRequestsRequest,
    WatchRequestsResponse,
)
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from svckit.deadline import within
from svckit.errors import from_rpc_error
from svckit.inprocess import InProcessChannel
from svckit.logging import REQUEST_ID_KEY

if TYPE_CHECKING:  # these exist for the type checker only
    from lair.common.v1.monitoring_service_pb2_grpc import MonitoringServiceAsyncStub
    from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceAsyncStub
    from lair.memory.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub
    from lair.memory.v1.recall_service_pb2_grpc import RecallServiceAsyncStub
    from lair.metrics.v1.report_service_pb2_grpc import ReportServiceAsyncStub
    from lair.router.v1.router_service_pb2_grpc import RouterServiceAsyncStub

QUESTION_SECONDS = 5.0
HEALTH_SECONDS = 1.0
# An answer takes as long as its model does: the router limits each of its steps.
MODEL_SECONDS = None
# Of years of requests, to a client that takes them slowly.
EXPORT_SECONDS = 3600.0

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


@dataclass(frozen=True, slots=True)
class Clients:
    """The stubs; `health` is None for a service that runs in this very process.

    `limits` counts what models' answers cost.
    """

    router: RouterServiceAsyncStub
    conversations: ConversationServiceAsyncStub
    recall: RecallServiceAsyncStub
    memory: MemoryServiceAsyncStub
    reports: ReportServiceAsyncStub
    health: dict[str, HealthStub | None]
    monitoring: dict[str, MonitoringServiceAsyncStub]
    limits: Limits

    @classmethod
    def over(
        cls, *, router: grpc.aio.Channel, memory: grpc.aio.Channel, metrics: grpc.aio.Channel
    ) -> Clients:
        """Make the stubs; who opened the channels closes them."""
        channels = {"router": router, "memory": memory, "metrics": metrics}
        return cls(
            router=RouterServiceStub(router),
            conversations=ConversationServiceStub(memory),
            recall=RecallServiceStub(memory),
            memory=MemoryServiceStub(memory),
            reports=ReportServiceStub(metrics),
            health={name: _health(channel) for name, channel in channels.items()},
            monitoring={name: MonitoringServiceStub(it) for name, it in channels.items()},
            limits=Limits(),
        )


async def ask(
    service: str,
    method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
    request: _Request,
    *,
    request_id: str,
    seconds: float | None = QUESTION_SECONDS,
) -> _Response:
    """Call `method` of `service`; a waiter that is cancelled cancels the call."""
    call = method(request, timeout=seconds, metadata=((REQUEST_ID_KEY, request_id),))
    try:
        return await within(seconds, call, service=service)
    finally:
        call.cancel()


async def chat(clients: Clients, call: ChatCall) -> ChatResponse:
    """Have a chat answered at once."""
    with prompt_counted(clients.limits, call):
        answer = await ask(
            "router",
            clients.router.Chat,
            ChatRequest(call=call),
            request_id=call.request_id,
            seconds=MODEL_SECONDS,
        )
    spend(clients.limits, call, answer.completion)
    return answer


async def complete(clients: Clients, call: CompletionCall) -> CompleteResponse:
    """Have a text completed at once."""
    with prompt_counted(clients.limits, call):
        answer = await ask(
            "router",
            clients.router.Complete,
            CompleteRequest(call=call),
            request_id=call.request_id,
            seconds=MODEL_SECONDS,
        )
    spend(clients.limits, call, answer.completion)
    return answer


async def embed(clients: Clients, call: EmbeddingCall) -> EmbedResponse:
    """Have texts turned into vectors."""
    with prompt_counted(clients.limits, call):
        answer = await ask(
            "router",
            clients.router.Embed,
            EmbedRequest(call=call),
            request_id=call.request_id,
            seconds=MODEL_SECONDS,
        )
    spend(clients.limits, call, answer.result)
    return answer


def chat_stream(
    clients: Clients, call: ChatCall
) -> AbstractContextManager[AsyncIterable[ChatStreamResponse]]:
    """Have a chat answered as it is generated; leaving the block ends the call."""
    request = ChatStreamRequest(call=call)
    stream = _stream(clients.router.ChatStream, request, call.request_id)
    return counted(clients.limits, call, stream)


def complete_stream(
    clients: Clients, call: CompletionCall
) -> AbstractContextManager[AsyncIterable[CompleteStreamResponse]]:
    """Have a text completed as it is generated; leaving the block ends the call."""
    request = CompleteStreamRequest(call=call)
    stream = _stream(clients.router.CompleteStream, request, call.request_id)
    return counted(clients.limits, call, stream)


def watch(
    clients: Clients, request: WatchRequestsRequest, *, request_id: str
) -> AbstractContextManager[AsyncIterable[WatchRequestsResponse]]:
    """Have the router tell of requests; leaving the block ends the call."""
    return _stream(clients.router.WatchRequests, request, request_id)


def export(
    clients: Clients, request: ExportUsageRequest, *, request_id: str
) -> AbstractContextManager[AsyncIterable[ExportUsageResponse]]:
    """Have requests written into a file; leaving the block ends the call."""
    method = clients.reports.ExportUsage
    return _stream(method, request, request_id, service="metrics", seconds=EXPORT_SECONDS)


@contextmanager
def _stream(
    method: grpc.aio.UnaryStreamMultiCallable[_Request, _Response],
    request: _Request,
    request_id: str,
    *,
    service: str = "router",
    seconds: float | None = MODEL_SECONDS,
) -> Iterator[AsyncIterable[_Response]]:
    stream = method(request, timeout=seconds, metadata=((REQUEST_ID_KEY, request_id),))
    try:
        yield stream
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error, service) from error
    finally:
        stream.cancel()


def _health(channel: grpc.aio.Channel) -> HealthStub | None:
    return None if isinstance(channel, InProcessChannel) else HealthStub(channel)
