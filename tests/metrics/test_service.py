"""UsageService and ReportService over a real gRPC server."""

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lair.common.v1.caller_pb2 import (
    IDENTITY_SOURCE_DERIVED,
    IDENTITY_SOURCE_KEY,
    IDENTITY_SOURCE_PROMPT,
)
from lair.common.v1.chat_pb2 import Usage
from lair.metrics.v1 import report_service_pb2 as report
from lair.metrics.v1 import usage_pb2
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceStub
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest, RecordRequestsResponse
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceStub
from metrics_svc.main import open_service
from svckit.channels import connect
from svckit.errors import ServiceError, from_rpc_error
from svckit.grpc_server import serving
from svckit.inprocess import InProcessChannel
from svckit.pages import encode_token
from svckit.settings import Metrics, Settings
from svckit.times import now_us, to_timestamp
from tests.metrics.events import DAY_US, HOUR_US, NOW_US, Stubs, record, running, us, uuid


@pytest.fixture
async def stubs(tmp_path: Path) -> AsyncIterator[Stubs]:
    async with running(tmp_path / "metrics.db") as stubs:
        yield stubs


async def recorded(stubs: Stubs, *records: RequestRecord) -> RecordRequestsResponse:
    return await stubs.usage.RecordRequests(RecordRequestsRequest(records=records), timeout=10)


async def dashboard(stubs: Stubs, **scope: Any) -> report.GetDashboardResponse:
    request = report.GetDashboardRequest(scope=report.ReportScope(**scope))
    return await stubs.report.GetDashboard(request, timeout=10)


async def listed(stubs: Stubs, **request: Any) -> report.ListRequestsResponse:
    return await stubs.report.ListRequests(report.ListRequestsRequest(**request), timeout=10)


async def refused(call: Any) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return from_rpc_error(caught.value, "metrics")


async def test_an_empty_database_has_zeros_and_no_beginning(stubs: Stubs):
    answer = await dashboard(stubs)
    # Every other field is at its default: 0, empty, unset.
    assert answer == report.GetDashboardResponse(
        time_zone="UTC", tokens=report.TokenTotals(), cost=report.Cost()
    )
    assert not answer.HasField("most_active_day")
    assert await listed(stubs) == report.ListRequestsResponse()


def ten_days() -> list[RequestRecord]:
    qwen = {"model": "qwen", "backend": "here", "local": True, "new_message_count": 2}
    return [
        record(1, NOW_US - 9 * DAY_US, tokens=(1, 1), project="old", conversation_id="c", **qwen),
        record(2, NOW_US - DAY_US, tokens=(10, 5), session_id="s", **qwen),
        record(3, NOW_US - DAY_US, tokens=(10, 5), session_id="s", **qwen),
        record(4, NOW_US, tokens=(20, 0), model="gpt", backend="there", new_message_count=2),
        record(5, NOW_US - HOUR_US, status=usage_pb2.STATUS_NO_BACKEND, new_message_count=1),
        record(6, NOW_US - 3 * DAY_US, status=usage_pb2.STATUS_AUTH),
        record(7, NOW_US - 5 * DAY_US, tokens=(7, 0), origin=usage_pb2.ORIGIN_INTERNAL, **qwen),
    ]


def unknown(records: int) -> report.Cost:
    return report.Cost(unpriced_count=records)


def share(name: str, requests: int, tokens: int, cost: report.Cost) -> report.UsageShare:
    return report.UsageShare(
        name=name,
        request_count=requests,
        token_count=tokens,
        request_ratio=requests / 5,
        cost=cost,
    )


async def test_the_dashboard_sums_up_what_was_used(stubs: Stubs):
    await recorded(stubs, *ten_days())
    day, count = report.DayActivity, report.StatusCount
    assert await dashboard(stubs) == report.GetDashboardResponse(
        time_zone="UTC",
        started_date="2026-11-12",
        active_day_count=3,
        most_active_day=day(date="2026-11-21", request_count=2, token_count=20, cost=unknown(2)),
        days=[
            day(date="2026-11-12", request_count=1, token_count=2, cost=unknown(1)),
            day(date="2026-11-20", request_count=2, token_count=30, cost=unknown(2)),
            day(date="2026-11-21", request_count=2, token_count=20, cost=unknown(2)),
        ],
        models=[
            share("qwen", 3, 39, unknown(4)),
            share("gpt", 1, 20, unknown(1)),
            share("unrouted", 1, 0, unknown(2)),
        ],
        backends=[share("here", 3, 39, unknown(4)), share("there", 1, 20, unknown(1))],
        locations=[share("local", 3, 39, unknown(4)), share("remote", 1, 20, unknown(1))],
        session_count=4,  # "s", "c", and two sittings an hour apart
        message_count=9,
        tokens=report.TokenTotals(
            total_count=59, prompt_count=48, completion_count=11, known_ratio=1
        ),
        project_count=1,
        longest_streak_days=2,
        current_streak_days=2,
        request_count=7,
        statuses=[
            count(status=usage_pb2.STATUS_OK, request_count=5),
            count(status=usage_pb2.STATUS_NO_BACKEND, request_count=1),
            count(status=usage_pb2.STATUS_AUTH, request_count=1),
        ],
        conversation_count=1,
        cost=unknown(7),
        success_ratio=5 / 6,
    )


async def test_a_request_without_origin_is_a_clients(stubs: Stubs):
    await recorded(stubs, record(1, origin=usage_pb2.ORIGIN_UNSPECIFIED))
    assert (await dashboard(stubs)).active_day_count == 1


async def test_days_are_those_of_the_zone_asked_for(stubs: Stubs):
    evening = us("2026-11-20T18:00:00-08:00")
    await recorded(stubs, *(record(n, evening - n * DAY_US) for n in range(4)))
    away = await dashboard(stubs, time_zone="America/Los_Angeles")
    assert away.time_zone == "America/Los_Angeles"
    assert [day.date for day in away.days] == [f"2026-11-{n}" for n in (17, 18, 19, 20)]
    assert (away.longest_streak_days, away.current_streak_days) == (4, 4)
    assert (await dashboard(stubs)).days[-1].date == "2026-11-21"


async def test_a_streak_survives_the_night_clocks_change(tmp_path: Path):
    now = us("2026-03-30T00:30:00+02:00")
    async with running(tmp_path / "metrics.db", zone="Europe/Berlin", now_us=now) as stubs:
        days = ("2026-03-27T12:00+01:00", "2026-03-28T23:59+01:00", "2026-03-29T23:59+02:00")
        await recorded(stubs, *(record(n, us(day)) for n, day in enumerate(days)))
        assert (await dashboard(stubs)).current_streak_days == 3


async def test_a_scope_narrows_the_dashboard(stubs: Stubs):
    await recorded(
        stubs,
        record(1, NOW_US - 2 * DAY_US, user_id="ann", project="x", tokens=(1, 0)),
        record(2, NOW_US - DAY_US, user_id="ann", tokens=(2, 0)),
        record(3, NOW_US, user_id="bob", tokens=(4, 0)),
    )
    ann = await dashboard(stubs, user_id="ann")
    assert (ann.request_count, ann.tokens.total_count, ann.started_date) == (2, 3, "2026-11-19")
    assert (await dashboard(stubs, project=" x ")).tokens.total_count == 1
    middle = await dashboard(
        stubs, start_time=to_timestamp(NOW_US - DAY_US), end_time=to_timestamp(NOW_US)
    )
    assert (middle.tokens.total_count, middle.started_date) == (2, "2026-11-20")
    assert (await dashboard(stubs, user_id="eve")).started_date == ""


async def test_records_come_back_whole_with_their_attempts(stubs: Stubs):
    sent = record(
        1,
        user_id="ann",
        project="lair",
        session_id="s",
        client="curl/8",
        key_id="k",
        user_source=IDENTITY_SOURCE_KEY,
        project_source=IDENTITY_SOURCE_PROMPT,
        session_source=IDENTITY_SOURCE_DERIVED,
        retry_of=str(uuid(7)),
        conversation_id="c",
        endpoint="/v1/chat/completions",
        origin=usage_pb2.ORIGIN_IMPORT,
        requested_model="auto",
        model="qwen",
        backend="there",
        local=True,
        status=usage_pb2.STATUS_CLIENT_CANCELLED,
        http_status=499,
        error_reason="UPSTREAM_FAILED",
        streamed=True,
        tool_call_count=1,
        usage=Usage(prompt_tokens=5, completion_tokens=0, total_tokens=5, cached_tokens=2),
        usage_source=usage_pb2.USAGE_SOURCE_UPSTREAM_TIMINGS,
        duration_us=90,
        first_token_us=0,
        upstream_us=80,
        queue_us=1,
        attempts=[
            usage_pb2.Attempt(
                backend="here", model="q", status=usage_pb2.STATUS_TIMEOUT, error="5 s are over"
            ),
            usage_pb2.Attempt(
                backend="there", status=usage_pb2.STATUS_OK, http_status=200, duration_us=70
            ),
        ],
        new_message_count=2,
        finish_reason="length",
        billed_nano_usd=17,
        device_watts=350.5,
    )
    await recorded(stubs, sent)
    (back,) = (await listed(stubs)).records
    assert back == sent
    assert not back.usage.HasField("reasoning_tokens")


async def test_duplicates_are_counted_once_and_told(stubs: Stubs):
    one, two = record(1, tokens=(3, 4)), record(2, tokens=(3, 4))
    answer = await recorded(stubs, one, two, one)
    assert (answer.recorded_count, answer.duplicate_count) == (2, 1)
    answer = await recorded(stubs, two, record(3))
    assert (answer.recorded_count, answer.duplicate_count) == (1, 1)
    assert (await dashboard(stubs)).tokens.total_count == 14


async def test_what_was_counted_is_there_after_a_restart(tmp_path: Path):
    async with running(tmp_path / "metrics.db") as stubs:
        await recorded(stubs, record(1, tokens=(3, 4)))
        before = await dashboard(stubs)
    async with running(tmp_path / "metrics.db") as stubs:
        assert await dashboard(stubs) == before
        assert (await recorded(stubs, record(1))).duplicate_count == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"request_id": ""}, "request_id is empty; send the request's UUIDv7"),
        ({"request_time": None}, "request_time is missing"),
        ({"status": usage_pb2.STATUS_UNSPECIFIED}, "status is 0"),
        ({"status": 42}, "status is 42"),
        ({"origin": 42}, "origin is 42"),
        ({"usage": Usage(prompt_tokens=-1)}, "usage.prompt_tokens is -1"),
        ({"attempts": [usage_pb2.Attempt(backend="b")]}, "attempts[0].status is 0"),
    ],
)
async def test_a_record_that_cannot_be_counted_is_refused_alone(
    stubs: Stubs, fields: dict[str, Any], message: str
):
    bad = record(2, **fields)
    answer = await recorded(stubs, record(1), bad, record(3))
    assert (answer.recorded_count, answer.duplicate_count) == (2, 0)
    (refusal,) = answer.refusals
    assert refusal.request_id == bad.request_id
    assert message in refusal.message
    assert (await dashboard(stubs)).request_count == 2


async def test_more_than_a_thousand_records_are_refused_whole(stubs: Stubs):
    batch = [record(n) for n in range(1001)]
    error = await refused(recorded(stubs, *batch))
    assert (error.reason, error.metadata) == ("INVALID_FIELD", {"field": "records"})
    assert "1001 entries; send at most 1000" in error.message
    assert (await recorded(stubs, *batch[:1000])).recorded_count == 1000


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "Europe", "CET+1CEST"])
async def test_an_unknown_zone_is_refused_by_name(stubs: Stubs, zone: str):
    scope = report.ReportScope(time_zone=zone)
    for call in (dashboard(stubs, time_zone=zone), listed(stubs, scope=scope)):
        error = await refused(call)
        assert error.metadata == {"field": "scope.time_zone"}
        assert f"{zone!r} is no IANA time zone" in error.message


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        ({"start_time": Timestamp(seconds=9), "end_time": Timestamp(seconds=8)}, "scope.end_time"),
        ({"start_time": Timestamp(seconds=2**60)}, "scope.start_time"),
        ({"end_time": Timestamp(seconds=-1)}, "scope.end_time"),
    ],
)
async def test_times_that_cannot_be_are_refused_by_name(
    stubs: Stubs, scope: dict[str, Any], field: str
):
    assert (await refused(dashboard(stubs, **scope))).metadata == {"field": field}


async def test_pages_hold_all_requests_the_latest_first(stubs: Stubs):
    await recorded(stubs, *(record(n, NOW_US - n // 2 * HOUR_US) for n in range(7)))
    tokens, seen = [""], []
    while len(tokens) == 1 or tokens[-1]:
        page = await listed(stubs, page_size=3, page_token=tokens[-1])
        seen += [r.request_id for r in page.records]
        tokens.append(page.next_page_token)
    assert len(tokens) == 4
    assert len(seen) == len(set(seen)) == 7
    assert seen[-1] == record(6, NOW_US - 3 * HOUR_US).request_id


async def test_a_page_holds_fifty_requests_by_default(stubs: Stubs):
    await recorded(stubs, *(record(n) for n in range(60)))
    assert len((await listed(stubs)).records) == 50
    assert len((await listed(stubs, page_size=5000)).records) == 60


@pytest.mark.parametrize(
    "token",
    ["%%%", "abc", encode_token(1), encode_token("a", "b"), encode_token(2**63, 1)],
)
async def test_a_foreign_page_token_is_refused(stubs: Stubs, token: str):
    assert (await refused(listed(stubs, page_token=token))).metadata == {"field": "page_token"}


async def test_a_negative_page_size_is_refused(stubs: Stubs):
    assert (await refused(listed(stubs, page_size=-1))).metadata == {"field": "page_size"}


async def test_the_service_opens_from_settings_and_is_healthy(tmp_path: Path):
    settings = Settings(data_dir=tmp_path, metrics=Metrics(time_zone="Asia/Kathmandu"))
    async with open_service(settings) as servicers, serving(servicers, "127.0.0.1:0") as port:
        async with connect(f"127.0.0.1:{port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("lair.metrics.v1.UsageService", "lair.metrics.v1.ReportService"):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        # The same servicers, called in their own process.
        inside = InProcessChannel(servicers)
        stubs = Stubs(inside, UsageServiceStub(inside), ReportServiceStub(inside))
        await recorded(stubs, record(1, now_us()))
        answer = await dashboard(stubs)
    assert answer.time_zone == "Asia/Kathmandu"
    assert answer.current_streak_days == 1
    assert (tmp_path / "metrics" / "metrics.db").exists()


async def test_known_ratio_is_a_part_of_answers(stubs: Stubs):
    estimated = usage_pb2.USAGE_SOURCE_ESTIMATED
    await recorded(
        stubs,
        record(1, tokens=(1, 1)),
        record(2, tokens=(1, 1), usage_source=estimated),
        record(3),
        record(4, status=usage_pb2.STATUS_TIMEOUT),
    )
    answer = await dashboard(stubs)
    assert math.isclose(answer.tokens.known_ratio, 1 / 3)


async def test_the_latest_of_several_most_active_days_is_shown(stubs: Stubs):
    await recorded(stubs, *(record(n, NOW_US - n % 3 * DAY_US) for n in range(9)))
    answer = await dashboard(stubs)
    assert answer.most_active_day.date == "2026-11-21"
