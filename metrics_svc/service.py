"""UsageService and ReportService: the contract on one side, metrics on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import grpc

from lair.metrics.v1 import report_service_pb2 as report
from lair.metrics.v1 import usage_service_pb2 as usage
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceServicer
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceServicer
from metrics_svc import wire
from metrics_svc.ingest import MAX_BATCH, RefusedError, countable
from metrics_svc.model import Position
from metrics_svc.reports.dashboard import dashboard
from metrics_svc.reports.latency import latency
from metrics_svc.storage.base import MetricsStore
from metrics_svc.zones import UnknownZoneError, named_zone
from svckit.errors import invalid_field
from svckit.logging import get_logger
from svckit.pages import decode_token, encode_token, page_size
from svckit.times import now_us

log = get_logger(__name__)

Clock = Callable[[], int]
Context = grpc.aio.ServicerContext[Any, Any]


class UsageService(UsageServiceServicer):
    """Takes in what was used."""

    def __init__(self, store: MetricsStore, clock: Clock = now_us) -> None:
        self._store = store
        self._clock = clock
        self._told_of_clock = False

    async def RecordRequests(
        self, request: usage.RecordRequestsRequest, _: Any
    ) -> usage.RecordRequestsResponse:
        """Count each request once; say which can never be counted."""
        if len(request.records) > MAX_BATCH:
            raise invalid_field(
                "records",
                f"records has {len(request.records)} entries; send at most {MAX_BATCH} at a time",
            )
        now = self._clock()
        rows, refusals = [], []
        for record in request.records:
            try:
                sent = wire.to_row(record)
                rows.append(countable(sent, now))
                if rows[-1].ts_us != sent.ts_us:
                    self._tell_of_clock(record.request_id, sent.ts_us - now)
            except RefusedError as error:
                refusals.append(
                    usage.RecordRefusal(request_id=record.request_id, message=str(error))
                )
        recorded = await self._store.append(rows)
        return usage.RecordRequestsResponse(
            recorded_count=recorded, duplicate_count=len(rows) - recorded, refusals=refusals
        )

    def _tell_of_clock(self, request_id: str, ahead_us: int) -> None:
        """Log once, and not for each request until somebody sets that clock."""
        if self._told_of_clock:
            return
        self._told_of_clock = True
        log.warning(
            "request dated in the future, counted as now, as all like it will be;"
            " set the clock of the router's machine, or of this one",
            request_id=request_id,
            ahead_seconds=ahead_us // 1_000_000,
        )


class ReportService(ReportServiceServicer):
    """Tells what was used; days are those of `zone` where a report names no other."""

    def __init__(self, store: MetricsStore, zone: ZoneInfo, clock: Clock = now_us) -> None:
        self._store = store
        self._zone = zone
        self._clock = clock

    async def GetDashboard(
        self, request: report.GetDashboardRequest, _: Any
    ) -> report.GetDashboardResponse:
        """Sum up what was used."""
        zone = self._zone_of(request.scope)
        use = await self._store.use(wire.to_scope(request.scope))
        return wire.to_dashboard(dashboard(use, zone, self._clock()))

    async def GetLatency(
        self, request: report.GetLatencyRequest, _: Any
    ) -> report.GetLatencyResponse:
        """Tell how fast answers were."""
        self._zone_of(request.scope)  # no day is shown, but a typing error should be
        timings = await self._store.timings(wire.to_scope(request.scope))
        # Sorting a year of requests would hold up everybody else.
        return wire.to_latency(await asyncio.to_thread(latency, timings))

    async def ListRequests(
        self, request: report.ListRequestsRequest, _: Any
    ) -> report.ListRequestsResponse:
        """List requests, the latest first."""
        self._zone_of(request.scope)  # no day is shown, but a typing error should be
        page = await self._store.requests(
            wire.to_scope(request.scope),
            page_size(request.page_size, default=50, maximum=1000),
            _position(request.page_token),
        )
        return report.ListRequestsResponse(
            records=[wire.to_record(row) for row in page.rows],
            next_page_token=encode_token(page.next.ts_us, page.next.row) if page.next else "",
        )

    def _zone_of(self, scope: report.ReportScope) -> ZoneInfo:
        if not scope.time_zone:
            return self._zone
        try:
            return named_zone(scope.time_zone)
        except UnknownZoneError as error:
            raise invalid_field("scope.time_zone", f"scope.time_zone: {error}") from error


def _position(token: str) -> Position | None:
    place = decode_token(token, 2)
    match place:
        case None:
            return None
        case (int(ts_us), int(row)) if max(abs(ts_us), abs(row)) < 2**63:
            return Position(ts_us, row)
    raise invalid_field(
        "page_token", "page_token is not one that ListRequests gave; leave it empty"
    )
