"""Gateway and router in one process, with a stub straight from one to the other.

That saves each request a hop. The router serves its gRPC port all the same, for
grpcurl and internal callers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

import gateway.main
import router_svc.main
from svckit.channels import connect
from svckit.grpc_server import serving
from svckit.inprocess import InProcessChannel
from svckit.lifecycle import stop_requested
from svckit.settings import Settings


async def run(settings: Settings) -> None:
    """Serve until the process is asked to stop; memory and metrics are elsewhere."""
    async with (
        connect(settings.address("memory")) as memory,
        connect(settings.address("metrics")) as metrics,
        edge(settings, memory=memory, metrics=metrics),
    ):
        await stop_requested()


@asynccontextmanager
async def edge(
    settings: Settings, *, memory: grpc.aio.Channel, metrics: grpc.aio.Channel
) -> AsyncIterator[None]:
    """Serve gateway and router; the gateway drains first."""
    async with (
        router_svc.main.open_service(settings, memory=memory, metrics=metrics) as router,
        serving(router, settings.listen("router"), grace_seconds=settings.gateway.drain_seconds),
        gateway.main.serving(
            settings, router=InProcessChannel(router), memory=memory, metrics=metrics
        ),
    ):
        try:
            yield
        finally:
            router.stopping()
