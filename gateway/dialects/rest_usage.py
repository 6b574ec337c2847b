"""Tables of use and where requests went, as the JSON of `/metrics/query` and `/metrics/routing`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from gateway.dialects.rest_reports import STATUS, StatusWord
from gateway.dialects.rest_types import Count, Milliseconds, word
from lair.metrics.v1 import report_service_pb2 as reports_pb2
from lair.metrics.v1.usage_pb2 import Status

_US_PER_MS = 1000
Filter = reports_pb2.QueryFilter


class UsageRow(Struct, frozen=True):
    """One row: its values are in the order of the columns."""

    time: Annotated[
        str | None, Meta(description="When, in local time; null without a granularity.")
    ]
    keys: Annotated[list[str], Meta(description="Empty is none.")]
    values: Annotated[list[float | None], Meta(description="null is unknown.")]


class UsageTable(Struct, frozen=True):
    """A table of use, by time and keys. Parts without any request have no row."""

    time_zone: str
    dimensions: list[str]
    measures: list[str]
    rows: list[UsageRow]
    omitted: Annotated[int, Meta(ge=0, description="Rows beyond the limit.")]


class RequestedUse(Struct, frozen=True):
    """Requests for one model that were answered alike."""

    requested_model: str | None
    model: Annotated[str | None, Meta(description="null where none was reached.")]
    backend: str | None
    requests: Count
    ok: Annotated[int, Meta(ge=0, description="Those that were answered in full.")]
    fallbacks: Annotated[int, Meta(ge=0, description="Those with more than one try.")]


class Fallback(Struct, frozen=True):
    """Tries that failed alike before another backend was asked."""

    backend: str
    model: str
    status: StatusWord
    to_backend: str | None
    to_model: str | None
    attempts: Count
    duration_ms: Annotated[Milliseconds, Meta(description="Of all of them together.")]


class RoutingUse(Struct, frozen=True):
    """Which model was asked for and which was used, and what failed before; most first."""

    routes: list[RequestedUse]
    fallbacks: list[Fallback]


def filter_of(text: str) -> Filter:
    """Read a filter: `dimension=value`."""
    name, _, value = text.partition("=")
    return Filter(dimension=name, value=value)


def table_json(
    table: reports_pb2.QueryUsageResponse, dimensions: Sequence[str], measures: Sequence[str]
) -> UsageTable:
    """Write a table, with the columns that were asked for."""
    return UsageTable(
        time_zone=table.time_zone,
        dimensions=list(dimensions),
        measures=list(measures),
        rows=[UsageRow(row.time or None, list(row.keys), _known(row.values)) for row in table.rows],
        omitted=table.omitted_count,
    )


def routing_use_json(routing: reports_pb2.GetRoutingResponse) -> RoutingUse:
    """Write where requests went."""
    return RoutingUse(
        routes=[
            RequestedUse(
                requested_model=it.requested_model or None,
                model=it.model or None,
                backend=it.backend or None,
                requests=it.request_count,
                ok=it.ok_count,
                fallbacks=it.fallback_count,
            )
            for it in routing.routes
        ],
        fallbacks=[
            Fallback(
                backend=it.backend,
                model=it.model,
                status=word(Status.Name(it.status), STATUS),
                to_backend=it.to_backend or None,
                to_model=it.to_model or None,
                attempts=it.attempt_count,
                duration_ms=it.duration_us / _US_PER_MS,
            )
            for it in routing.fallbacks
        ],
    )


def _known(values: Iterable[float]) -> list[float | None]:
    """Return the values, None for what is unknown."""
    return [None if math.isnan(value) else value for value in values]
