"""When, where to, at what cost: the further reports by REST."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.dialects import usage_names
from lair.metrics.v1 import report_service_pb2 as pb
from lair.metrics.v1.usage_pb2 import STATUS_TIMEOUT
from metrics_svc.reports.columns import DIMENSIONS, MEASURES
from metrics_svc.reports.table import GRAINS
from tests.gateway.conftest import Stack


async def posted(stack: Stack, body: Any) -> tuple[int, Any]:
    async with stack.http.post(f"{stack.url}/metrics/query", json=body) as reply:
        return reply.status, await reply.json()


def test_the_names_that_are_told_are_those_there_are():
    assert tuple(DIMENSIONS) == usage_names.DIMENSIONS
    assert tuple(MEASURES) == usage_names.MEASURES
    assert tuple(GRAINS) == usage_names.GRANULARITIES


async def test_a_chart_has_weekdays_a_whole_week_of_hours_and_streaks(stack: Stack):
    stack.metrics.activity = pb.GetActivityResponse(
        time_zone="Europe/Berlin",
        started_date="2026-11-20",
        days=[
            pb.ActivityDay(date="2026-11-19", before_start=True),
            pb.ActivityDay(date="2026-11-20", request_count=3, request_level=1, token_level=2),
        ],
        hours=[pb.ActivityHour(weekday=4, hour=23, request_count=3, token_count=7)],
        weekdays=[pb.ActivityWeekday(day_count=1, request_count=place) for place in range(7)],
        best_weekday=0,
        longest_streak=pb.Streak(day_count=1, first_date="2026-11-20", last_date="2026-11-20"),
    )
    _, body = await stack.get("/metrics/activity?from=2026-11-19&key=k")
    assert [(day["weekday"], day["known"], day["level"]) for day in body["days"]] == [
        (3, False, 0),
        (4, True, 1),
    ]
    assert (body["active_days"], body["requests"], body["best_weekday"]) == (1, 3, 0)
    assert len(body["hours"]) == 7 * 24
    assert body["hours"][4 * 24 + 23] == {"weekday": 4, "hour": 23, "requests": 3, "tokens": 7}
    assert body["weekdays"][6] == {"weekday": 6, "days": 1, "requests": 6, "tokens": 0}
    assert body["longest_streak"] == {"days": 1, "first": "2026-11-20", "last": "2026-11-20"}
    assert body["all_time_current_streak"] is None
    scope = stack.metrics.requests[0].scope
    assert (scope.key_id, scope.HasField("start_time")) == ("k", True)


async def test_where_requests_went_is_told_with_what_failed(stack: Stack):
    stack.metrics.routing = pb.GetRoutingResponse(
        routes=[pb.RequestedUse(requested_model="auto", request_count=2, ok_count=1)],
        fallbacks=[pb.Fallback(backend="a", model="m", status=STATUS_TIMEOUT, attempt_count=2)],
    )
    _, body = await stack.get("/metrics/routing")
    [route] = body["routes"]
    assert (route["requested_model"], route["model"], route["ok"]) == ("auto", None, 1)
    [fallback] = body["fallbacks"]
    assert (fallback["status"], fallback["attempts"]) == ("timeout", 2)


async def test_savings_are_dollars_and_may_be_negative(stack: Stack):
    stack.metrics.savings = pb.GetSavingsResponse(
        total=pb.Savings(
            request_count=4,
            electricity_nano_usd=2 * 10**9,
            same_model=pb.Comparison(
                known_ratio=0.5, reference_nano_usd=10**9, saved_nano_usd=-(10**9)
            ),
            confidence=pb.CONFIDENCE_CONFIGURED,
        ),
        backends=[pb.BackendEnergy(backend="gpu", busy_us=1500)],
        remote=pb.RemoteSavings(
            request_count=8,
            cost_nano_usd=10**9,
            list_price=pb.Comparison(
                known_ratio=1, reference_nano_usd=3 * 10**9, saved_nano_usd=2 * 10**9
            ),
        ),
    )
    _, body = await stack.get("/metrics/savings")
    total = body["total"]
    assert (total["model"], total["electricity_usd"], total["kwh"]) == (None, 2.0, None)
    assert total["same_model"] == {"known_ratio": 0.5, "reference_usd": 1.0, "saved_usd": -1.0}
    assert total["replacement"]["saved_usd"] is None
    assert total["confidence"] == "configured"
    remote = body["remote"]
    assert (remote["requests"], remote["cost_usd"]) == (8, 1.0)
    assert remote["list_price"] == {"known_ratio": 1.0, "reference_usd": 3.0, "saved_usd": 2.0}
    assert (body["kwh_usd"], body["backends"]) == (
        None,
        [{"backend": "gpu", "busy_ms": 1.5, "watts": None}],
    )


async def test_models_without_a_price_come_with_what_to_write(stack: Stack):
    stack.metrics.unpriced.models.append(pb.UnpricedModel(backend="b", model="m", toml="[[x]]"))
    _, body = await stack.get("/metrics/unpriced")
    assert body["models"] == [
        {"backend": "b", "model": "m", "requests": 0, "tokens": 0, "toml": "[[x]]"}
    ]


async def test_a_year_may_be_told_without_names(stack: Stack):
    stack.metrics.wrapped = pb.GetWrappedResponse(
        year=2026,
        models=[pb.UsageShare(request_count=3)],
        before=pb.PeriodTotals(request_count=2),
        names_hidden=True,
    )
    status, body = await stack.get("/metrics/wrapped/2026?tz=Asia/Kathmandu&hide_names=true")
    assert (status, body["names_hidden"], body["before"]["requests"]) == (200, True, 2)
    assert (body["models"][0]["name"], body["most_active_day"], body["cost_usd"]) == (
        "",
        None,
        None,
    )
    [asked] = stack.metrics.requests
    assert (asked.year, asked.hide_names, asked.scope.time_zone) == (2026, True, "Asia/Kathmandu")


async def test_a_table_is_asked_for_by_query_and_by_body_alike(stack: Stack):
    stack.metrics.table = pb.QueryUsageResponse(
        time_zone="UTC",
        rows=[pb.QueryRow(time="2026-11-21", keys=["m"], values=[3, math.nan])],
        omitted_count=1,
    )
    query = (
        "measures=requests&measures=cost_usd&dimensions=model&filters=status=ok"
        "&filters=project=a=b&granularity=day&limit=1&tz=UTC"
    )
    expected = {
        "time_zone": "UTC",
        "dimensions": ["model"],
        "measures": ["requests", "cost_usd"],
        "rows": [{"time": "2026-11-21", "keys": ["m"], "values": [3.0, None]}],
        "omitted": 1,
    }
    assert await stack.get(f"/metrics/query?{query}") == (200, expected)
    body = {
        "measures": ["requests", "cost_usd"],
        "dimensions": ["model"],
        "filters": ["status=ok", "project=a=b"],
        "granularity": "day",
        "limit": 1,
        "tz": "UTC",
    }
    assert await posted(stack, body) == (200, expected)
    by_query, by_body = stack.metrics.requests
    assert by_query == by_body
    assert [(it.dimension, it.value) for it in by_body.filters] == [
        ("status", "ok"),
        ("project", "a=b"),
    ]


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/metrics/query", "measures"),
        ("/metrics/query?measures=requests&filters=status", "filters[0]"),
        ("/metrics/query?measures=requests&limit=10001", "limit"),
        ("/metrics/wrapped/last", "year"),
    ],
)
async def test_a_question_that_cannot_be_asked_names_what_is_wrong(stack: Stack, path, param):
    status, body = await stack.get(path)
    assert (status, body["error"]["param"]) == (400, param)


async def test_a_body_with_an_unknown_name_is_refused(stack: Stack):
    status, body = await posted(stack, {"measures": ["requests"], "measure": ["tokens"]})
    assert (status, body["error"]["param"]) == (400, "measure")


@pytest.mark.parametrize(
    "path",
    ["dashboard", "daily", "activity", "routing", "savings", "unpriced", "wrapped/2026", "recent"],
)
async def test_no_report_is_kept_on_the_way(stack: Stack, path: str):
    async with stack.http.get(f"{stack.url}/metrics/{path}") as reply:
        assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
