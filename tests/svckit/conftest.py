"""Both transports as one fixture, and where outboxes keep and send their records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from svckit.channels import connect
from svckit.grpc_server import serving
from svckit.inprocess import InProcessChannel
from tests.svckit.receiving import Receiver
from tests.svckit.scripted_router import Connect, scripted


@pytest.fixture(params=["grpc", "inprocess"])
async def connect_to(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Give a function from scripted methods to the stub that reaches them."""
    async with AsyncExitStack() as stack:

        async def connect_to(**methods: Any) -> Any:
            servicers = scripted(methods)
            channel: grpc.aio.Channel
            if request.param == "inprocess":
                channel = await stack.enter_async_context(InProcessChannel(servicers))
            else:
                server = serving(servicers, "127.0.0.1:0", grace_seconds=0)
                port = await stack.enter_async_context(server)
                channel = await stack.enter_async_context(connect(f"127.0.0.1:{port}"))
            return RouterServiceStub(channel)

        yield connect_to


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "router" / "turns"
