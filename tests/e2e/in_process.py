"""A whole lair in the test's own process, over scripted backends: gateway, router and metrics.

Memory is scripted too, so that nothing loads a model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

import gateway.main
import metrics_svc.main
import router_svc.main
from lair.memory.v1.memory_service_pb2_grpc import (
    MemoryServiceServicer,
    add_MemoryServiceServicer_to_server,
)
from lair.metrics.v1.report_service_pb2 import ListRequestsRequest
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceStub
from lair.metrics.v1.usage_pb2 import RequestRecord
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from svckit.inprocess import InProcessChannel
from svckit.settings import Settings
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.services import ScriptedMemory

PATIENCE_SECONDS = 10.0


@dataclass
class House:
    """A running lair, and a session to ask it with."""

    url: str
    http: aiohttp.ClientSession
    router: Any
    reports: Any
    memory: ScriptedMemory

    async def post(self, path: str, body: dict[str, Any], **headers: str) -> tuple[int, bytes, str]:
        """Post JSON; return the status, the body and the request's id."""
        async with self.http.post(self.url + path, json=body, headers=headers) as reply:
            return reply.status, await reply.read(), reply.headers["x-request-id"]

    async def get(self, path: str) -> str:
        """Get the text of a path, which must be there."""
        async with self.http.get(self.url + path) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.text()

    async def record(self, request_id: str) -> RequestRecord:
        """Wait until metrics has counted a request; return its record."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                page = await self.reports.ListRequests(
                    ListRequestsRequest(page_size=1000), timeout=5
                )
                for record in page.records:
                    if record.request_id == request_id:
                        return record
                await asyncio.sleep(0.02)


@asynccontextmanager
async def in_process(
    data_dir: Path, *servers: OpenAIServer, backends: list[Any] | None = None, **sections: Any
) -> AsyncIterator[House]:
    """Open a lair over `servers`, called `a`, `b` and so on, or over `backends`."""
    named = [
        {"name": name, "url": server.url} for name, server in zip("abcdef", servers, strict=False)
    ]
    settings = Settings.model_validate(
        {
            "data_dir": data_dir,
            "backends": named if backends is None else backends,
            **sections,
            "gateway": {"port": 0, "access_log": False, **sections.get("gateway", {})},
            "router": {"discover": False, "probe_seconds": 3600, **sections.get("router", {})},
        }
    )
    scripted = ScriptedMemory()
    offered = scripted.servicers()
    notes = partial(add_MemoryServiceServicer_to_server, MemoryServiceServicer())
    memory = InProcessChannel(replace(offered, register=(*offered.register, notes)))
    async with metrics_svc.main.open_service(settings) as metrics_servicers:
        metrics = InProcessChannel(metrics_servicers)
        async with router_svc.main.open_service(
            settings, memory=memory, metrics=metrics
        ) as router_servicers:
            router = InProcessChannel(router_servicers)
            async with (
                gateway.main.serving(
                    settings, router=router, memory=memory, metrics=metrics
                ) as port,
                aiohttp.ClientSession() as http,
            ):
                yield House(
                    f"http://127.0.0.1:{port}",
                    http,
                    RouterServiceStub(router),
                    ReportServiceStub(metrics),
                    scripted,
                )
                router_servicers.stopping()
                metrics_servicers.stopping()
