"""Serve gRPC the one way all services do: health, reflection, figures, errors, drain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from svckit.handlers import translating
from svckit.monitoring_service import DESCRIPTOR as MONITORING
from svckit.monitoring_service import monitoring

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_V1_REFLECTION = "grpc.reflection.v1.ServerReflection"


class ServeError(Exception):
    """A server could not start; the message says what to change."""


async def _nothing() -> None:
    """Do nothing: all figures are counted as they happen."""


@dataclass(frozen=True)
class Servicers:
    """The gRPC services of one process part, ready to be served or called directly.

    `register` holds one `add_…Servicer_to_server` with its servicer bound, for
    each descriptor. `stopping` is to be called when the process is asked to stop, before
    anything drains. `refresh` brings figures up to date that are not counted as they happen.
    """

    name: str
    descriptors: tuple[ServiceDescriptor, ...]
    register: tuple[Callable[[Any], None], ...] = field(repr=False)
    stopping: Callable[[], None] = field(default=lambda: None, repr=False)
    refresh: Callable[[], Awaitable[None]] = field(default=_nothing, repr=False)


class _Translating(grpc.aio.ServerInterceptor):
    """Apply `svckit.handlers.translating` to every method of ours."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        foreign = handler_call_details.method.startswith("/grpc.")  # health and reflection
        return handler if foreign or not handler else translating(handler)


def _add_reflection(names: list[str], server: grpc.aio.Server) -> None:
    """Offer reflection v1alpha, and v1 by the same servicer: the messages are alike."""
    listed = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(listed, server)
    servicer = reflection.aio.ReflectionServicer(listed)
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler(_V1_REFLECTION, {"ServerReflectionInfo": method})
    server.add_generic_rpc_handlers((handler,))


@asynccontextmanager
async def serving(
    servicers: Servicers, address: str, *, grace_seconds: float = 5.0
) -> AsyncIterator[int]:
    """Serve until the block is left, then drain for `grace_seconds`. Yields the port.

    Raises `ServeError` where the address cannot be bound.
    """
    server = grpc.aio.server(
        interceptors=[_Translating()],
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
        ],
    )
    for register in (*servicers.register, monitoring(servicers.refresh)):
        register(server)
    status = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    names = [descriptor.full_name for descriptor in (*servicers.descriptors, MONITORING)]
    _add_reflection(names, server)
    try:
        port = server.add_insecure_port(address)
        await server.start()
    except RuntimeError as error:
        raise ServeError(
            f"{servicers.name}: cannot listen on {address}: the port is in use or the address is "
            f"not of this machine; choose another with {servicers.name}.listen in lair.toml"
        ) from error
    for name in ("", *names):
        await status.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield port
    finally:
        await status.enter_graceful_shutdown()
        await server.stop(grace_seconds)
