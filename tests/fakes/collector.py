"""An OpenTelemetry collector that keeps what it is sent by OTLP over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

PATIENCE_SECONDS = 20.0


class Collector(TraceServiceServicer, MetricsServiceServicer):
    """Takes everything in."""

    def __init__(self) -> None:
        self.url = ""
        self.sent: list[Any] = []
        self._changed = asyncio.Condition()

    async def Export(self, request: Any, _: Any) -> Any:
        """Take in spans or measurements: both services call it so."""
        async with self._changed:
            self.sent.append(request)
            self._changed.notify_all()
        if isinstance(request, trace_pb.ExportTraceServiceRequest):
            return trace_pb.ExportTraceServiceResponse()
        return metrics_pb.ExportMetricsServiceResponse()

    async def wait_until(self, true: Callable[[], Any]) -> None:
        """Wait until something came that makes it `true`."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: bool(true()))

    def spans(self) -> list[Any]:
        """Return all spans, the earliest first."""
        traces = (it for it in self.sent if isinstance(it, trace_pb.ExportTraceServiceRequest))
        found = [
            span
            for request in traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: (span.start_time_unix_nano, -span.end_time_unix_nano))

    def points(self) -> Iterator[tuple[str, str, Any]]:
        """Yield the name, the unit and each series of every histogram."""
        for request in self.sent:
            if isinstance(request, metrics_pb.ExportMetricsServiceRequest):
                for resource in request.resource_metrics:
                    for scope in resource.scope_metrics:
                        for metric in scope.metrics:
                            for point in metric.histogram.data_points:
                                yield metric.name, metric.unit, point


def attributes(pairs: Any) -> dict[str, Any]:
    """Return attributes as plain values."""
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    return getattr(value, str(kind))


def resource_of(request: Any) -> dict[str, Any]:
    """Return who sent it."""
    pairs: list[KeyValue] = request.resource_spans[0].resource.attributes
    return attributes(pairs)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Serve a collector."""
    collector = Collector()
    server = grpc.aio.server()
    add_TraceServiceServicer_to_server(collector, server)
    add_MetricsServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    collector.url = f"http://127.0.0.1:{port}"
    try:
        yield collector
    finally:
        await server.stop(0)
