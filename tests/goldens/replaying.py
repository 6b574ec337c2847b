"""Recorded requests sent again: to a real gateway and router, before a scripted backend."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from gateway.main import serving
from lair.metrics.v1.report_service_pb2_grpc import (
    ReportServiceServicer,
    add_ReportServiceServicer_to_server,
)
from router_svc.main import open_service
from svckit.grpc_server import Servicers
from svckit.inprocess import InProcessChannel
from svckit.settings import Settings
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.services import ScriptedMemory, ScriptedMetrics

FOLDER = Path(__file__).parent
PROJECT = "demo-project"


def golden(name: str) -> list[dict[str, Any]]:
    """Return the recorded requests of a program, in order."""
    requests: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return requests


@dataclass
class Replay:
    """A running lair, and what it was given to work with."""

    url: str
    http: aiohttp.ClientSession
    backend: OpenAIServer
    memory: ScriptedMemory
    metrics: ScriptedMetrics

    async def send(self, recorded: dict[str, Any]) -> tuple[aiohttp.ClientResponse, bytes]:
        """Send a recorded request; return the reply and its body."""
        async with self.http.request(
            recorded["method"],
            self.url + recorded["path"],
            headers=recorded["headers"],
            data=json.dumps(recorded["body"], ensure_ascii=False).encode(),
        ) as reply:
            return reply, await reply.read()


@asynccontextmanager
async def replaying(data_dir: Path) -> AsyncIterator[Replay]:
    """Run gateway and router in this process until the block is left."""
    memory, metrics = ScriptedMemory(), ScriptedMetrics()
    async with OpenAIServer("tiny") as backend:
        settings = Settings.model_validate(
            {
                "data_dir": data_dir,
                "gateway": {"port": 0, "drain_seconds": 0.1},
                "backends": [{"name": "scripted", "url": backend.url}],
                "router": {"discover": False, "probe_seconds": 3600},
            }
        )
        stores = {
            "memory": InProcessChannel(memory.servicers()),
            "metrics": InProcessChannel(_with_reports(metrics.servicers())),
        }
        async with (
            open_service(settings, **stores) as router,
            serving(settings, router=InProcessChannel(router), **stores) as port,
            aiohttp.ClientSession() as http,
        ):
            yield Replay(f"http://127.0.0.1:{port}", http, backend, memory, metrics)


def _with_reports(offered: Servicers) -> Servicers:
    """Add the reports, which nobody here asks for and the gateway cannot start without."""
    reports = ReportServiceServicer()
    register = (
        *offered.register,
        lambda server: add_ReportServiceServicer_to_server(reports, server),
    )
    return replace(offered, register=register)
