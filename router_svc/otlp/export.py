"""Sends spans and measurements to a collector by the OpenTelemetry SDK (the extra `otlp`).

The one module that imports it. Everything here blocks, and runs in a thread of its own.
A trace has the id of its request, so whoever has the one finds the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from router_svc.live import Ended
from router_svc.otlp import names
from router_svc.otlp.spans import Kind, PeerOf, Span, measurements_of, spans_of
from svckit.exposition import PROCESS_ID

_SCOPE = "lair.router"
_KINDS = {Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT}
_NS_PER_US = 1000
# How long the end of the process waits for a collector that does not answer.
_LAST_MILLISECONDS = 2000
_INSTRUMENTS = (
    (names.TOKEN_USAGE, "{token}", "Number of input and output tokens used.", names.TOKEN_BOUNDS),
    (names.OPERATION_DURATION, "s", "GenAI operation duration.", names.DURATION_BOUNDS),
    (names.TIME_TO_FIRST_CHUNK, "s", "Time to receive the first chunk.", names.FIRST_CHUNK_BOUNDS),
)


class _RequestIds(RandomIdGenerator):
    """Gives a trace the id of its request."""

    request_id = ""

    def generate_trace_id(self) -> int:
        """Return the request's id as a number, or any where it is no UUID."""
        try:
            return UUID(self.request_id).int or super().generate_trace_id()
        except ValueError:
            return super().generate_trace_id()


class Exporter:
    """Tells a collector at `endpoint`; empty for where the SDK's own variables say."""

    def __init__(self, endpoint: str, peer_of: PeerOf) -> None:
        resource = Resource.create({"service.name": "lair", "service.instance.id": PROCESS_ID})
        at = endpoint or None
        self._peer_of = peer_of
        self._ids = _RequestIds()
        self._spans = BatchSpanProcessor(OTLPSpanExporter(endpoint=at))
        self._traces = TracerProvider(
            resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._traces.add_span_processor(self._spans)
        self._tracer = self._traces.get_tracer(_SCOPE)
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=at))
        self._meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        meter = self._meters.get_meter(_SCOPE)
        self._instruments: dict[str, Histogram] = {
            name: meter.create_histogram(
                name, unit, words, explicit_bucket_boundaries_advisory=bounds
            )
            for name, unit, words, bounds in _INSTRUMENTS
        }

    def tell(self, requests: Iterable[Ended]) -> None:
        """Take in requests that are over."""
        for ended in requests:
            told = spans_of(ended, self._peer_of)
            self._ids.request_id = told.request_id
            inside = self._span(told.whole, Context())
            for part in told.parts:
                self._span(part, inside)
            for measured in measurements_of(ended.record, self._peer_of):
                self._instruments[measured.instrument].record(measured.value, measured.attributes)

    def close(self) -> None:
        """Send what is left, if the collector takes it."""
        self._traces.force_flush(_LAST_MILLISECONDS)
        self._traces.shutdown()
        self._meters.shutdown(_LAST_MILLISECONDS)

    def _span(self, span: Span, parent: Context) -> Context:
        """Make a span that is over; return the context of what is within it."""
        start = span.start_us * _NS_PER_US
        made = self._tracer.start_span(
            span.name,
            context=parent,
            kind=_KINDS[span.kind],
            attributes=span.attributes,
            start_time=start,
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(start + span.duration_us * _NS_PER_US)
        return set_span_in_context(made, parent)
