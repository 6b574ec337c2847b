"""metrics_svc put together: its store, its services, and how it runs alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from lair.metrics.v1 import report_service_pb2, usage_service_pb2
from lair.metrics.v1.report_service_pb2_grpc import add_ReportServiceServicer_to_server
from lair.metrics.v1.usage_service_pb2_grpc import add_UsageServiceServicer_to_server
from metrics_svc.costs.checking import check_prices
from metrics_svc.costs.pricer import NoPrices, Pricer, loaded_prices
from metrics_svc.figures import refresh
from metrics_svc.service import Clock, ReportService, UsageService
from metrics_svc.storage.base import Kept, MetricsStore
from metrics_svc.storage.sqlite import open_store
from metrics_svc.tidying import tidy_up
from metrics_svc.watching import Counted
from metrics_svc.zones import machine_zone, named_zone
from svckit.grpc_server import Servicers
from svckit.serve import serve_until_stopped
from svckit.settings import Settings
from svckit.times import now_us


async def run(settings: Settings) -> None:
    """Serve until the process is asked to stop."""
    await serve_until_stopped(open_service(settings), settings.listen("metrics"))


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Servicers]:
    """Open the database and yield the services over it; close it at the end.

    Raises `StorageError`, and `ConfigError` as `check` does.
    """
    await asyncio.to_thread(check, settings)
    name = settings.metrics.time_zone
    zone = named_zone(name) if name else machine_zone()
    kept = Kept(settings.metrics.request_days, settings.metrics.attempt_days)
    async with (
        open_store(settings.metrics_database, zone) as store,
        _in_background(tidy_up(store, kept, now_us)),
        loaded_prices(settings) as pricer,
    ):
        yield servicers(store, zone, pricer=pricer, kwh_usd=settings.costs.kwh)


def check(settings: Settings) -> None:
    """Raise `ConfigError` for prices by a provider or model that nobody knows."""
    check_prices(settings)


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` beside the block and end it with the block.

    Not a TaskGroup, which would wrap the block's own error in an ExceptionGroup.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


_NO_PRICES = NoPrices()


def servicers(
    store: MetricsStore,
    zone: ZoneInfo,
    clock: Clock = now_us,
    pricer: Pricer = _NO_PRICES,
    kwh_usd: float | None = None,
) -> Servicers:
    """Return the services over `store`, which keep costs as `pricer` tells them.

    `kwh_usd` is the price of a kilowatt-hour, None unknown.
    """
    counted = Counted()
    return Servicers(
        name="metrics",
        descriptors=(
            usage_service_pb2.DESCRIPTOR.services_by_name["UsageService"],
            report_service_pb2.DESCRIPTOR.services_by_name["ReportService"],
        ),
        register=(
            partial(
                add_UsageServiceServicer_to_server, UsageService(store, clock, pricer, counted)
            ),
            partial(
                add_ReportServiceServicer_to_server,
                ReportService(store, zone, clock, counted, kwh_usd),
            ),
        ),
        stopping=counted.close,
        refresh=partial(refresh, store),
    )
