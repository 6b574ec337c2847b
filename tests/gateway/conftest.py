"""A gateway on a free port before scripted services, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.main import serving
from svckit import grpc_server
from svckit.channels import connect
from svckit.inprocess import InProcessChannel
from svckit.settings import Gateway, Settings
from tests.gateway.scripted import (
    ScriptedMemory,
    ScriptedMetrics,
    ScriptedRouter,
    servicers,
)

CHAT = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class Stack:
    """A running gateway, its scripted services, and a session to ask it with."""

    router: ScriptedRouter = field(default_factory=ScriptedRouter)
    memory: ScriptedMemory = field(default_factory=ScriptedMemory)
    metrics: ScriptedMetrics = field(default_factory=ScriptedMetrics)
    url: str = ""
    http: aiohttp.ClientSession = field(init=False)

    @asynccontextmanager
    async def running(self, *, in_process: bool = False, **gateway: Any) -> AsyncIterator[Stack]:
        """Serve with the given gateway settings until the block is left."""
        settings = Settings(gateway=Gateway(port=0, **gateway))
        offered = servicers(self.router, self.memory, self.metrics)
        async with (
            grpc_server.serving(offered, "127.0.0.1:0", grace_seconds=0) as grpc_port,
            InProcessChannel(offered)
            if in_process
            else connect(f"127.0.0.1:{grpc_port}") as channel,
            aiohttp.ClientSession() as self.http,
            serving(settings, router=channel, memory=channel, metrics=channel) as port,
        ):
            self.url = f"http://127.0.0.1:{port}"
            yield self

    def chat(self, *, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        """Post a chat."""
        url = f"{self.url}/v1/chat/completions"
        return self.http.post(url, json=CHAT | fields, headers=headers)

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Get a path; return its status and JSON."""
        async with self.http.get(self.url + path, headers=headers) as reply:
            return reply.status, await reply.json()


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep keys and the owner's token of gateways in this process apart from a person's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return Settings().data_dir


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with Stack().running() as running:
        yield running
