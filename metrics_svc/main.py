"""metrics_svc put together: its store, its services, and how it runs alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from zoneinfo import ZoneInfo

from lair.metrics.v1 import report_service_pb2, usage_service_pb2
from lair.metrics.v1.report_service_pb2_grpc import add_ReportServiceServicer_to_server
from lair.metrics.v1.usage_service_pb2_grpc import add_UsageServiceServicer_to_server
from metrics_svc.service import Clock, ReportService, UsageService
from metrics_svc.storage.base import MetricsStore
from metrics_svc.storage.sqlite import open_store
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

    Raises `StorageError`.
    """
    name = settings.metrics.time_zone
    zone = named_zone(name) if name else machine_zone()
    async with open_store(settings.metrics_database) as store:
        yield servicers(store, zone)


def servicers(store: MetricsStore, zone: ZoneInfo, clock: Clock = now_us) -> Servicers:
    """Return the services over `store`."""
    return Servicers(
        name="metrics",
        descriptors=(
            usage_service_pb2.DESCRIPTOR.services_by_name["UsageService"],
            report_service_pb2.DESCRIPTOR.services_by_name["ReportService"],
        ),
        register=(
            partial(add_UsageServiceServicer_to_server, UsageService(store, clock)),
            partial(
                add_ReportServiceServicer_to_server,
                ReportService(store, zone, clock),  # type: ignore[abstract]  # the rest is UNIMPLEMENTED
            ),
        ),
    )
