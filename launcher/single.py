"""All four services in one process, with stubs straight to each other.

Each serves its gRPC port all the same, for grpcurl and internal callers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import memory_svc.main
import metrics_svc.main
from launcher.edge import edge
from svckit.grpc_server import serving
from svckit.inprocess import InProcessChannel
from svckit.settings import Settings


@asynccontextmanager
async def everything(settings: Settings) -> AsyncIterator[None]:
    """Serve all four services; at the end what answers requests stops first."""
    async with (
        memory_svc.main.open_service(settings) as memory,
        metrics_svc.main.open_service(settings) as metrics,
        serving(memory, settings.listen("memory")),
        serving(metrics, settings.listen("metrics")),
        edge(settings, memory=InProcessChannel(memory), metrics=InProcessChannel(metrics)),
    ):
        try:
            yield
        finally:
            metrics.stopping()
