"""Records of odd ids and wrong clocks are counted all the same, and once."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from structlog.testing import capture_logs

from lair.metrics.v1.report_service_pb2 import GetDashboardRequest, ListRequestsRequest
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest, RecordRequestsResponse
from metrics_svc.keys import key_of
from svckit.times import to_timestamp, to_us
from tests.metrics.events import DAY_US, MINUTE_US, NOW_US, Stubs, record, running, uuid


@pytest.fixture
async def stubs(tmp_path: Path) -> AsyncIterator[Stubs]:
    async with running(tmp_path / "metrics.db") as stubs:
        yield stubs


async def recorded(stubs: Stubs, *records: RequestRecord) -> RecordRequestsResponse:
    return await stubs.usage.RecordRequests(RecordRequestsRequest(records=records), timeout=10)


async def listed(stubs: Stubs) -> list[RequestRecord]:
    return list((await stubs.report.ListRequests(ListRequestsRequest(), timeout=10)).records)


# -- ids -----------------------------------------------------------------------


@pytest.mark.parametrize("request_id", ["req-1", "0190163d8694739b" * 2, "ä" * 5000, " "])
async def test_an_id_that_is_no_uuid_is_counted_once(stubs: Stubs, request_id: str):
    sent = record(1, request_id=request_id, tokens=(3, 4))
    first = await recorded(stubs, sent, record(2))
    again = await recorded(stubs, sent)
    assert (first.recorded_count, again.recorded_count, again.duplicate_count) == (2, 0, 1)
    assert not first.refusals
    (back,) = [r for r in await listed(stubs) if r.usage.prompt_tokens]
    assert UUID(back.request_id).version == 7


async def test_requests_that_share_an_id_are_told_apart_by_user_and_time(stubs: Stubs):
    answer = await recorded(
        stubs,
        record(1, request_id="req-1", user_id="ann"),
        record(1, request_id="req-1", user_id="bob"),
        record(1, NOW_US - 1, request_id="req-1", user_id="ann"),
    )
    assert (answer.recorded_count, answer.duplicate_count) == (3, 0)


@pytest.mark.parametrize("text", [str(uuid(1)), "6FA459EA-EE8A-3CA4-894E-DB77E160355E"])
def test_a_uuid_is_its_own_key(text: str):
    assert key_of(text, "ann", NOW_US) == UUID(text) == key_of(text, "bob", 0)


def test_made_keys_follow_time_whatever_it_is():
    keys = [key_of("req-1", "ann", NOW_US + n * 1000) for n in range(50)]
    assert keys == sorted(keys)
    assert {key.version for key in keys} == {7}
    assert {key_of("req-1", "ann", us).version for us in (0, -1, 2**63)} == {7}


def test_user_and_id_do_not_run_into_each_other():
    assert key_of("b", "a", NOW_US) != key_of("", "ab", NOW_US) != key_of("ab", "", NOW_US)


# -- clocks --------------------------------------------------------------------


@pytest.mark.parametrize(
    "time",
    [to_timestamp(NOW_US + 6 * MINUTE_US), Timestamp(seconds=2**62)],
    ids=["six minutes", "for ever"],
)
async def test_a_record_of_the_future_is_counted_as_now(stubs: Stubs, time: Timestamp):
    sent = record(1, request_time=time, duration_us=5)
    answer = await recorded(stubs, sent)
    assert (answer.recorded_count, len(answer.refusals)) == (1, 0)
    (back,) = await listed(stubs)
    assert to_us(back.request_time) == NOW_US
    assert back.duration_us == 5
    board = await stubs.report.GetDashboard(GetDashboardRequest(), timeout=10)
    assert (board.days[-1].date, board.current_streak_days) == ("2026-11-21", 1)


async def test_a_second_delivery_moves_a_record_to_no_other_day(tmp_path: Path):
    sent = record(1, NOW_US + 9 * DAY_US)
    async with running(tmp_path / "metrics.db") as stubs:
        await recorded(stubs, sent)
    async with running(tmp_path / "metrics.db", now_us=NOW_US + DAY_US) as stubs:
        assert (await recorded(stubs, sent)).duplicate_count == 1
        (back,) = await listed(stubs)
    assert to_us(back.request_time) == NOW_US


async def test_a_clock_that_is_ahead_is_told_once(stubs: Stubs):
    with capture_logs() as lines:
        await recorded(stubs, record(1), record(2, NOW_US + DAY_US), record(3, NOW_US + DAY_US))
        await recorded(stubs, record(4, NOW_US + DAY_US))
    (line,) = lines
    assert (line["log_level"], line["ahead_seconds"]) == ("warning", 86_400)
    assert line["request_id"] == str(uuid(2, NOW_US + DAY_US))
    assert "clock" in line["event"]
