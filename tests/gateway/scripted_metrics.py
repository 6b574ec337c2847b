"""The metrics service behind the gateway, played from a script."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lair.metrics.v1 import report_service_pb2 as reports_pb2
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceServicer
from svckit.errors import ServiceError


@dataclass
class ScriptedMetrics(ReportServiceServicer):
    """Gives the reports it is given."""

    dashboard: reports_pb2.GetDashboardResponse = field(
        default_factory=reports_pb2.GetDashboardResponse
    )
    latency: reports_pb2.GetLatencyResponse = field(default_factory=reports_pb2.GetLatencyResponse)
    page: reports_pb2.ListRequestsResponse = field(default_factory=reports_pb2.ListRequestsResponse)
    activity: reports_pb2.GetActivityResponse = field(
        default_factory=reports_pb2.GetActivityResponse
    )
    routing: reports_pb2.GetRoutingResponse = field(default_factory=reports_pb2.GetRoutingResponse)
    savings: reports_pb2.GetSavingsResponse = field(default_factory=reports_pb2.GetSavingsResponse)
    unpriced: reports_pb2.ListUnpricedResponse = field(
        default_factory=reports_pb2.ListUnpricedResponse
    )
    wrapped: reports_pb2.GetWrappedResponse = field(default_factory=reports_pb2.GetWrappedResponse)
    table: reports_pb2.QueryUsageResponse = field(default_factory=reports_pb2.QueryUsageResponse)
    # The pieces of an export; an error among them ends it.
    export: list[bytes | ServiceError] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)

    async def GetDashboard(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.dashboard

    async def GetLatency(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.latency

    async def ListRequests(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.page

    async def GetActivity(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.activity

    async def GetRouting(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.routing

    async def GetSavings(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.savings

    async def ListUnpriced(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.unpriced

    async def GetWrapped(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.wrapped

    async def QueryUsage(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.table

    async def ExportUsage(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        for piece in self.export:
            if isinstance(piece, ServiceError):
                raise piece
            yield reports_pb2.ExportUsageResponse(data=piece)
