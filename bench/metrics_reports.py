"""The reports that `bench/metrics_load.py` asks for, by what they are called in its table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

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
    month = _days_before(last_us, 30)

    def dashboard(**scope: object) -> Report:
        request = GetDashboardRequest(scope=ReportScope(**scope))  # type: ignore[arg-type]  # any field
        return lambda: stub.GetDashboard(request, timeout=_SECONDS)

    def latency(**scope: object) -> Report:
        request = GetLatencyRequest(scope=ReportScope(**scope))  # type: ignore[arg-type]  # any field
        return lambda: stub.GetLatency(request, timeout=_SECONDS)

    def listed(**scope: object) -> Report:
        request = ListRequestsRequest(scope=ReportScope(**scope), page_size=50)  # type: ignore[arg-type]  # any field
        return lambda: stub.ListRequests(request, timeout=_SECONDS)

    def activity(**scope: object) -> Report:
        request = GetActivityRequest(scope=ReportScope(**scope))  # type: ignore[arg-type]  # any field
        return lambda: stub.GetActivity(request, timeout=_SECONDS)

    def wrapped(**scope: object) -> Report:
        year = datetime.fromtimestamp(month / 1e6, ZONE).year
        request = GetWrappedRequest(scope=ReportScope(**scope), year=year)  # type: ignore[arg-type]  # any field
        return lambda: stub.GetWrapped(request, timeout=_SECONDS)

    def query(*measures: str, granularity: str = "", **scope: object) -> Report:
        request = QueryUsageRequest(
            scope=ReportScope(**scope),  # type: ignore[arg-type]  # any field
            dimensions=("model",),
            measures=measures,
            granularity=granularity,
        )
        return lambda: stub.QueryUsage(request, timeout=_SECONDS)

    return {
        "dashboard": dashboard(),
        "dashboard of one user": dashboard(user_id="ann"),
        "dashboard of 30 days": dashboard(start_time=to_timestamp(month)),
        "dashboard in another zone": dashboard(time_zone="Asia/Kathmandu"),
        "activity": activity(),
        "activity in another zone": activity(time_zone="Asia/Kathmandu"),
        "routing": lambda: stub.GetRouting(GetRoutingRequest(), timeout=_SECONDS),
        "savings": lambda: stub.GetSavings(GetSavingsRequest(), timeout=_SECONDS),
        "models without a price": lambda: stub.ListUnpriced(
            ListUnpricedRequest(), timeout=_SECONDS
        ),
        "wrapped": wrapped(),
        "query: models by day": query("requests", "tokens", granularity="day"),
        "query: models by day in another zone": query(
            "requests", "tokens", granularity="day", time_zone="Asia/Kathmandu"
        ),
        "query: p95 of models, 30 days": query(
            "requests", "duration_ms_p95", start_time=to_timestamp(month)
        ),
        "latency": latency(),
        "latency of one user": latency(user_id="ann"),
        "latency of 30 days": latency(start_time=to_timestamp(month)),
        "the last 50 requests": listed(),
        "the last 50 of one user": listed(user_id="cleo"),
    }


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
