"""The reports that `bench/metrics_load.py` asks for, by what they are called in its table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import grpc

from bench.metrics_history import ZONE
from lair.metrics.v1.report_service_pb2 import (
    GetActivityRequest,
    GetDashboardRequest,
    GetLatencyRequest,
    GetRoutingRequest,
    GetSavingsRequest,
    GetWrappedRequest,
    ListRequestsRequest,
    ListUnpricedRequest,
    QueryUsageRequest,
    ReportScope,
)
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceStub
from metrics_svc.model import Scope
from metrics_svc.query import Grain, Question
from metrics_svc.storage.base import Ledger
from metrics_svc.storage.sqlite import SqliteStore
from svckit.times import to_timestamp

Report = Callable[[], Awaitable[object]]
_SECONDS = 60.0


def by_rpc(channel: grpc.aio.Channel, last_us: int) -> Mapping[str, Report]:
    """Return reports asked of a running service, as the gateway asks them."""
    stub = ReportServiceStub(channel)
    month: dict[str, Any] = {"start_time": to_timestamp(_days_before(last_us, 30))}
    elsewhere: dict[str, Any] = {"time_zone": "Asia/Kathmandu"}
    year = GetWrappedRequest(year=datetime.fromtimestamp(last_us / 1e6 - 1, ZONE).year)
    latest = ListRequestsRequest(page_size=50)
    return {
        "dashboard": _asking(stub.GetDashboard, GetDashboardRequest()),
        "dashboard of one user": _asking(stub.GetDashboard, GetDashboardRequest(), user_id="ann"),
        "dashboard of 30 days": _asking(stub.GetDashboard, GetDashboardRequest(), **month),
        "dashboard in another zone": _asking(stub.GetDashboard, GetDashboardRequest(), **elsewhere),
        "activity": _asking(stub.GetActivity, GetActivityRequest()),
        "activity in another zone": _asking(stub.GetActivity, GetActivityRequest(), **elsewhere),
        "routing": _asking(stub.GetRouting, GetRoutingRequest()),
        "savings": _asking(stub.GetSavings, GetSavingsRequest()),
        "models without a price": _asking(stub.ListUnpriced, ListUnpricedRequest()),
        "wrapped": _asking(stub.GetWrapped, year),
        "query: models by day": _asking(stub.QueryUsage, _BY_DAY),
        "query: models by day in another zone": _asking(stub.QueryUsage, _BY_DAY, **elsewhere),
        "query: p95 of models, 30 days": _asking(stub.QueryUsage, _SLOWEST, **month),
        "latency": _asking(stub.GetLatency, GetLatencyRequest()),
        "latency of one user": _asking(stub.GetLatency, GetLatencyRequest(), user_id="ann"),
        "latency of 30 days": _asking(stub.GetLatency, GetLatencyRequest(), **month),
        "the last 50 requests": _asking(stub.ListRequests, latest),
        "the last 50 of one user": _asking(stub.ListRequests, latest, user_id="cleo"),
    }


_BY_DAY = QueryUsageRequest(
    dimensions=("model",), measures=("requests", "tokens"), granularity="day"
)
_SLOWEST = QueryUsageRequest(dimensions=("model",), measures=("requests", "duration_ms_p95"))


def _asking(method: Callable[..., Awaitable[object]], request: Any, **scope: object) -> Report:
    """Return a report of a scope; the request itself stays as it is."""
    asked = type(request)()
    asked.CopyFrom(request)
    asked.scope.CopyFrom(ReportScope(**scope))  # type: ignore[arg-type]  # any field
    return lambda: method(asked, timeout=_SECONDS)


def by_ledger(store: SqliteStore, last_us: int) -> Mapping[str, Report]:
    """Return further sums that charts are made of, asked of the store."""
    month = Scope(start_us=_days_before(last_us, 30))

    def sums(question: Question, *measures: str) -> Report:
        return lambda: _asked(store, lambda ledger: ledger.sums(question, measures))

    def sessions(question: Question) -> Report:
        return lambda: _asked(store, lambda ledger: ledger.distincts(question))

    by_day = Question(grain=Grain.DAY, zone=ZONE, dimensions=("model_used",))
    hours = Question(grain=Grain.HOUR_OF_WEEK, zone=ZONE)
    matrix = Question(dimensions=("model_requested", "model_used"))
    return {
        "each day by model": sums(by_day, "requests", "tokens", "cost_nano"),
        "hours of the week": sums(hours, "active", "tokens"),
        "cost of each month": sums(
            Question(grain=Grain.MONTH, zone=ZONE), "cost_nano", "ref1_nano", "ref2_nano"
        ),
        "model asked for by model used": sums(matrix, "requests"),
        "tokens of each project": sums(Question(dimensions=("project",)), "tokens"),
        "sessions of each project": sessions(Question(dimensions=("project",))),
        "sessions of each day of 30": sessions(Question(scope=month, grain=Grain.DAY, zone=ZONE)),
    }


async def _asked(store: SqliteStore, ask: Callable[[Ledger], Awaitable[object]]) -> object:
    async with store.reading() as ledger:
        return await ask(ledger)


def _days_before(last_us: int, days: int) -> int:
    """Return the beginning of a local day."""
    last = datetime.fromtimestamp(last_us / 1e6, ZONE)
    first = last.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)
    return int(first.timestamp()) * 1_000_000
