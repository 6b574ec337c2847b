"""What was used, by REST: the dashboard and its parts, requests, latency."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from lair.common.v1.caller_pb2 import Caller
from lair.metrics.v1 import report_service_pb2 as reports_pb2
from lair.metrics.v1.usage_pb2 import Attempt, RequestRecord, Status
from tests.gateway.conftest import Stack

TIME = Timestamp(seconds=1_700_000_000)
TEA = reports_pb2.UsageShare(
    name="tea",
    request_count=3,
    token_count=30,
    request_ratio=0.75,
    cost=reports_pb2.Cost(nano_usd=500_000_000),
)
RUM = reports_pb2.UsageShare(
    name="rum", request_count=1, request_ratio=0.25, cost=reports_pb2.Cost(unpriced_count=1)
)


async def test_the_dashboard_is_plain_numbers(stack: Stack):
    day = reports_pb2.DayActivity(date="2026-11-21", request_count=2**40, token_count=5)
    stack.metrics.dashboard = reports_pb2.GetDashboardResponse(
        time_zone="Europe/Berlin",
        most_active_day=day,
        days=[day],
        models=[reports_pb2.UsageShare(name="m", request_count=3, request_ratio=0.75)],
        tokens=reports_pb2.TokenTotals(total_count=9),
        statuses=[reports_pb2.StatusCount(status=Status.STATUS_OK, request_count=3)],
    )
    status, body = await stack.get("/metrics/dashboard")
    assert status == 200
    assert body["most_active_day"] == {
        "date": "2026-11-21",
        "requests": 2**40,
        "tokens": 5,
        "cost_usd": None,
        "unpriced": 0,
    }
    assert body["started_date"] is None
    assert body["models"] == [
        {"name": "m", "requests": 3, "tokens": 0, "ratio": 0.75, "cost_usd": None, "unpriced": 0}
    ]
    assert body["tokens"]["total"] == 9
    assert body["statuses"] == {"ok": 3}


async def test_a_reports_scope_is_whole_local_days(stack: Stack):
    await stack.get(
        "/metrics/dashboard?tz=Europe/Berlin&from=2026-11-01&to=2026-11-02&project=p",
        **{"X-User-ID": "ana"},
    )
    scope = stack.metrics.requests[0].scope
    assert (scope.user_id, scope.project, scope.time_zone) == ("ana", "p", "Europe/Berlin")
    assert scope.start_time.ToJsonString() == "2026-10-31T23:00:00Z"
    assert scope.end_time.ToJsonString() == "2026-11-02T23:00:00Z"


async def test_a_report_without_limits_has_none(stack: Stack):
    await stack.get("/metrics/dashboard?user_id=ben")
    scope = stack.metrics.requests[0].scope
    assert scope.user_id == "ben"
    assert not scope.HasField("start_time")
    assert not scope.HasField("end_time")


async def test_recent_requests_are_listed(stack: Stack):
    record = RequestRecord(
        request_id="r",
        request_time=TIME,
        caller=Caller(user_id="ana"),
        status=Status.STATUS_OK,
        duration_us=1500,
        attempts=[Attempt(backend="ollama", duration_us=1000)],
    )
    stack.metrics.page = reports_pb2.ListRequestsResponse(records=[record])
    status, body = await stack.get("/metrics/recent?limit=2")
    assert (status, body["next_page_token"]) == (200, None)
    [shown] = body["requests"]
    assert (shown["user_id"], shown["status"], shown["duration_ms"]) == ("ana", "ok", 1.5)
    assert shown["first_token_ms"] is None
    assert shown["attempts"][0]["duration_ms"] == 1.0
    assert stack.metrics.requests[0].page_size == 2


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/metrics/dashboard?tz=Mars/Base", "tz"),
        ("/metrics/dashboard?tz=../etc/passwd", "tz"),
        ("/metrics/dashboard?from=yesterday", "from"),
        ("/metrics/dashboard?to=0001-01-01", "to"),
        ("/metrics/dashboard?from=2026-01-02&to=2026-01-01", "to"),
        ("/metrics/recent?limit=0", "limit"),
        ("/metrics/recent?limit=many", "limit"),
        ("/memory/conversations?limit=501", "limit"),
        ("/memory/conversations?project=%00", "project"),
    ],
)
async def test_a_bad_parameter_is_named(stack: Stack, path, param):
    status, body = await stack.get(path)
    assert (status, body["error"]["param"]) == (400, param)


async def test_use_by_model_and_by_backend_is_told_with_its_sum(stack: Stack):
    stack.metrics.dashboard = reports_pb2.GetDashboardResponse(
        models=[TEA, RUM], backends=[TEA], locations=[TEA]
    )
    tea = {"name": "tea", "requests": 3, "tokens": 30, "ratio": 0.75, "cost_usd": 0.5}
    rum = {"name": "rum", "requests": 1, "tokens": 0, "ratio": 0.25, "cost_usd": None}
    tea["unpriced"], rum["unpriced"] = 0, 1
    _, models = await stack.get("/metrics/models?project=p")
    assert models == {"requests": 4, "models": [tea, rum]}
    _, providers = await stack.get("/metrics/providers")
    assert providers == {"requests": 3, "backends": [tea], "locations": [tea]}
    assert stack.metrics.requests[0].scope.project == "p"


async def test_idle_days_stand_between_active_ones(stack: Stack):
    stack.metrics.dashboard = reports_pb2.GetDashboardResponse(
        time_zone="Europe/Berlin",
        days=[
            reports_pb2.DayActivity(
                date="2025-02-27",
                request_count=2,
                token_count=9,
                cost=reports_pb2.Cost(nano_usd=2 * 10**9),
            ),
            reports_pb2.DayActivity(date="2025-03-01", request_count=8),
        ],
    )
    used = {"active": True}
    idle = {"requests": 0, "tokens": 0, "active": False, "cost_usd": 0.0}
    _, daily = await stack.get("/metrics/daily?to=2025-03-02")
    assert daily == {
        "time_zone": "Europe/Berlin",
        "days": [
            day | {"unpriced": 0}
            for day in (
                {**used, "date": "2025-02-27", "requests": 2, "tokens": 9, "cost_usd": 2.0},
                {**idle, "date": "2025-02-28"},
                # What it cost is not known.
                {**used, "date": "2025-03-01", "requests": 8, "tokens": 0, "cost_usd": None},
                {**idle, "date": "2025-03-02"},
            )
        ],
    }


async def test_nothing_used_is_no_day(stack: Stack):
    _, daily = await stack.get("/metrics/daily")
    assert daily["days"] == []


async def test_latency_tells_what_was_not_measured_as_null(stack: Stack):
    share = reports_pb2.LatencyShare(name="tea", request_count=2)
    share.duration_ms.p50 = 12.5
    share.duration_ms.p99 = 0
    stack.metrics.latency = reports_pb2.GetLatencyResponse(models=[share])
    status, body = await stack.get("/metrics/latency?from=2026-11-01&user_id=ana")
    assert status == 200
    [tea] = body["models"]
    assert (tea["name"], tea["requests"]) == ("tea", 2)
    assert tea["duration_ms"] == {"p50": 12.5, "p90": None, "p95": None, "p99": 0.0}
    assert body["total"]["requests"] == 0
    scope = stack.metrics.requests[0].scope
    assert (scope.user_id, scope.HasField("start_time")) == ("ana", True)
