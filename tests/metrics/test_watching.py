"""ReportService.WatchRequests: requests as they are counted, each once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY

from lair.common.v1.monitoring_service_pb2 import GetExpositionRequest
from lair.common.v1.monitoring_service_pb2_grpc import MonitoringServiceStub
from lair.metrics.v1.report_service_pb2 import ReportScope, WatchRequestsRequest
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from metrics_svc.model import Scope
from metrics_svc.watching import Counted
from svckit.times import to_timestamp
from tests.metrics.events import MINUTE_US, NOW_US, Stubs, record, row, running, uuid
from tests.metrics.prices import Prices

PATIENCE_SECONDS = 10.0


@pytest.fixture
async def stubs(tmp_path: Path) -> AsyncIterator[Stubs]:
    async with running(tmp_path / "metrics.db") as stubs:
        yield stubs


async def count(stubs: Stubs, *records: RequestRecord) -> None:
    await stubs.usage.RecordRequests(RecordRequestsRequest(records=records), timeout=10)


@asynccontextmanager
async def watching(stubs: Stubs, **scope: Any) -> AsyncIterator[Any]:
    """Watch; yield what reads the next request's id."""
    call = stubs.report.WatchRequests(WatchRequestsRequest(scope=ReportScope(**scope)))
    # Nothing tells that the watch has begun, so requests of nobody's are sent until one comes.
    messages = aiter(call)
    first = asyncio.ensure_future(anext(messages))
    number = 9000
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not first.done():
            number += 1
            await count(stubs, record(number, user_id="ann", project="p", key_id="k"))
            await asyncio.wait({first}, timeout=0.01)

    async def read() -> str:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (it := (await anext(messages)).record.request_id) > str(uuid(9000)):
                pass
        return it

    yield read
    call.cancel()


async def test_requests_are_told_once_though_they_are_delivered_twice(stubs: Stubs) -> None:
    async with watching(stubs) as told:
        await count(stubs, record(1), record(2))
        await count(stubs, record(2), record(3))
        assert [await told() for _ in range(3)] == [str(uuid(n)) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "scope",
    [
        {"user_id": "ann"},
        {"project": "p"},
        {"key_id": "k"},
        {"start_time": to_timestamp(NOW_US)},
        {"end_time": to_timestamp(NOW_US + MINUTE_US)},
    ],
    ids=lambda scope: next(iter(scope)),
)
async def test_who_asks_for_some_is_told_of_no_others(stubs: Stubs, scope: dict[str, Any]) -> None:
    at = NOW_US + MINUTE_US if "end_time" in scope else NOW_US - MINUTE_US
    async with watching(stubs, **scope) as told:
        await count(
            stubs,
            record(1, at, user_id="bob", project="q", key_id="l"),
            record(2, NOW_US, user_id="ann", project="p", key_id="k"),
        )
        assert await told() == str(uuid(2))


async def test_a_zone_that_is_none_is_refused(stubs: Stubs) -> None:
    request = WatchRequestsRequest(scope=ReportScope(time_zone="Nowhere/City"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(stubs.report.WatchRequests(request)))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_who_is_slow_is_told_how_many_were_left_out() -> None:
    counted = Counted()
    news = counted.watch(Scope())
    first = asyncio.ensure_future(anext(news))
    await asyncio.sleep(0)
    counted.note([row(number) for number in range(1, 1502)])
    told, lost = await first
    assert (told.request_id, lost) == (uuid(502), 501)
    assert (await anext(news)).lost == 0
    await news.aclose()


async def test_the_end_of_the_service_ends_the_watch() -> None:
    counted = Counted()
    waiting = asyncio.ensure_future(anext(counted.watch(Scope()), None))
    await asyncio.sleep(0)
    counted.close()
    assert await waiting is None


async def test_costs_so_far_are_told_to_who_monitors(tmp_path: Path) -> None:
    async with running(tmp_path / "metrics.db", pricer=Prices()) as stubs:
        await count(
            stubs,
            record(1, backend="a", model="m", billed_nano_usd=1_500_000_000),
            record(2, backend="a", model="m", billed_nano_usd=250_000_000),
            record(3, backend="b", model="unheard of", tokens=(5, 5)),
        )
        monitoring = MonitoringServiceStub(stubs.channel)
        await monitoring.GetExposition(GetExpositionRequest(), timeout=5)

    def value(name: str, backend: str) -> float | None:
        return REGISTRY.get_sample_value(f"lair_{name}_total", {"backend": backend})

    assert (value("cost_usd", "a"), value("cost_usd", "b")) == (1.75, None)
    assert (value("unpriced_requests", "a"), value("unpriced_requests", "b")) == (0, 1)
