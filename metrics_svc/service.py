"""UsageService and ReportService: the contract on one side, metrics on the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import grpc

from lair.metrics.v1 import report_service_pb2 as report
from lair.metrics.v1 import usage_service_pb2 as usage
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceServicer
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceServicer
from metrics_svc import wire, wire_insights, wire_reports
from metrics_svc.costs.pricer import Pricer
from metrics_svc.exporting.export import exported
from metrics_svc.ingest import MAX_BATCH, RefusedError, countable
from metrics_svc.model import Position
from metrics_svc.query import Question
from metrics_svc.reports.activity import activity, chart_of, read_activity
from metrics_svc.reports.dashboard import dashboard
from metrics_svc.reports.latency import MEASURED, latency
from metrics_svc.reports.routing import read_routing
from metrics_svc.reports.savings import read_savings, savings
from metrics_svc.reports.table import MAX_ROWS, AskedWronglyError, read_table, wanted
from metrics_svc.reports.totals import period_before, totals
from metrics_svc.reports.unpriced import read_unpriced
from metrics_svc.reports.use import read_use
from metrics_svc.reports.wrapped import read_year, wrapped, year_of
from metrics_svc.storage.base import MetricsStore
from metrics_svc.watching import Counted
from metrics_svc.zones import UnknownZoneError, named_zone
from svckit.errors import invalid_field
from svckit.logging import get_logger
from svckit.pages import decode_token, encode_token, page_size

log = get_logger(__name__)

Clock = Callable[[], int]
_YEARS = range(1971, 9999)
Context = grpc.aio.ServicerContext[Any, Any]


class UsageService(UsageServiceServicer):
    """Takes in what was used."""

    def __init__(self, store: MetricsStore, clock: Clock, pricer: Pricer, counted: Counted) -> None:
        self._store = store
        self._clock = clock
        self._pricer = pricer
        self._counted = counted
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
        priced = await self._pricer.priced(rows)
        recorded = await self._store.append(priced)
        self._counted.note(priced)
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

    def __init__(
        self,
        store: MetricsStore,
        zone: ZoneInfo,
        clock: Clock,
        counted: Counted,
        kwh_usd: float | None = None,
    ) -> None:
        self._store = store
        self._zone = zone
        self._clock = clock
        self._counted = counted
        self._kwh_usd = kwh_usd

    async def GetDashboard(
        self, request: report.GetDashboardRequest, _: Any
    ) -> report.GetDashboardResponse:
        """Sum up what was used."""
        zone = self._zone_of(request.scope)
        scope, now = wire.to_scope(request.scope), self._clock()
        earlier = period_before(scope, zone, now)
        before = None
        async with self._store.reading() as ledger:
            use = await read_use(ledger, scope, zone)
            if earlier:
                compared = await read_use(ledger, earlier, zone)
                before = totals(compared, earlier.start_us or 0, earlier.end_us or 0)
        return wire_reports.to_dashboard(dashboard(use, zone, now, before))

    async def GetLatency(
        self, request: report.GetLatencyRequest, _: Any
    ) -> report.GetLatencyResponse:
        """Tell how fast answers were."""
        self._zone_of(request.scope)  # no day is shown, but a typing error should be
        question = Question(scope=wire.to_scope(request.scope), dimensions=MEASURED)
        async with self._store.reading() as ledger:
            spreads = await ledger.spreads(question)
        return wire_reports.to_latency(latency(spreads))

    async def GetActivity(
        self, request: report.GetActivityRequest, _: Any
    ) -> report.GetActivityResponse:
        """Tell when requests were made."""
        zone, now = self._zone_of(request.scope), self._clock()
        chart = chart_of(wire.to_scope(request.scope), zone, now)
        async with self._store.reading() as ledger:
            use = await read_activity(ledger, chart, zone)
        return wire_insights.to_activity(activity(use, chart, zone, now), zone)

    async def GetRouting(
        self, request: report.GetRoutingRequest, _: Any
    ) -> report.GetRoutingResponse:
        """Tell where requests went."""
        self._zone_of(request.scope)
        async with self._store.reading() as ledger:
            routing = await read_routing(ledger, wire.to_scope(request.scope))
        return wire_insights.to_routing(routing)

    async def GetSavings(
        self, request: report.GetSavingsRequest, _: Any
    ) -> report.GetSavingsResponse:
        """Tell what local models saved."""
        self._zone_of(request.scope)
        async with self._store.reading() as ledger:
            use = await read_savings(ledger, wire.to_scope(request.scope))
        return wire_insights.to_savings(savings(use, self._kwh_usd))

    async def ListUnpriced(
        self, request: report.ListUnpricedRequest, _: Any
    ) -> report.ListUnpricedResponse:
        """List models whose tokens have no known price."""
        self._zone_of(request.scope)
        async with self._store.reading() as ledger:
            models = await read_unpriced(ledger, wire.to_scope(request.scope))
        return wire_insights.to_unpriced(models)

    async def GetWrapped(
        self, request: report.GetWrappedRequest, _: Any
    ) -> report.GetWrappedResponse:
        """Sum up a year."""
        zone, now = self._zone_of(request.scope), self._clock()
        if request.year not in _YEARS:
            raise invalid_field(
                "year", f"year is {request.year}; send one from {_YEARS[0]} to {_YEARS[-1]}"
            )
        year = year_of(wire.to_scope(request.scope), request.year, zone, now)
        async with self._store.reading() as ledger:
            used = await read_year(ledger, year, zone)
        summed = wrapped(
            used, year, zone, now, kwh_usd=self._kwh_usd, hide_names=request.hide_names
        )
        return wire_insights.to_wrapped(summed)

    async def QueryUsage(
        self, request: report.QueryUsageRequest, _: Any
    ) -> report.QueryUsageResponse:
        """Add up any measures over any dimensions."""
        zone = self._zone_of(request.scope)
        try:
            table = wanted(
                wire.to_scope(request.scope),
                zone,
                dimensions=request.dimensions,
                measures=request.measures,
                filters=[(it.dimension, it.value) for it in request.filters],
                granularity=request.granularity,
            )
        except AskedWronglyError as error:
            raise invalid_field(error.field, str(error)) from error
        limit = page_size(request.limit, default=1000, maximum=MAX_ROWS)
        async with self._store.reading() as ledger:
            found = await read_table(ledger, table, limit)
        return wire_insights.to_table(found, zone)

    async def ListRequests(
        self, request: report.ListRequestsRequest, _: Any
    ) -> report.ListRequestsResponse:
        """List requests, the latest first."""
        self._zone_of(request.scope)  # no day is shown, but a typing error should be
        async with self._store.reading() as ledger:
            page = await ledger.requests(
                wire.to_scope(request.scope),
                page_size(request.page_size, default=50, maximum=1000),
                _position(request.page_token),
            )
        return report.ListRequestsResponse(
            records=[wire.to_record(row) for row in page.rows],
            next_page_token=encode_token(page.next.ts_us, page.next.row) if page.next else "",
        )

    async def ExportUsage(
        self, request: report.ExportUsageRequest, _: Any
    ) -> AsyncIterator[report.ExportUsageResponse]:
        """Write requests into a file, in pieces."""
        zone, form = self._zone_of(request.scope), wire_reports.to_form(request.format)
        scope, now = wire.to_scope(request.scope), datetime.fromtimestamp(self._clock() / 1e6, UTC)
        async with aclosing(exported(self._store, scope, form, zone, now)) as pieces:
            async for piece in pieces:
                yield report.ExportUsageResponse(data=piece)

    async def WatchRequests(
        self, request: report.WatchRequestsRequest, _: Any
    ) -> AsyncIterator[report.WatchRequestsResponse]:
        """Tell of requests as they are counted."""
        self._zone_of(request.scope)  # no day is shown, but a typing error should be
        async with aclosing(self._counted.watch(wire.to_scope(request.scope))) as news:
            async for row, lost in news:
                yield report.WatchRequestsResponse(record=wire.to_record(row), lost_count=lost)

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
