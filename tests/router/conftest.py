"""What tests of the router share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lair.router.v1.chat_pb2 import ChatEvent
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.openai_server import OpenAIServer
from tests.router.streams import Normalise, normalised
from tests.router.world import World


@pytest.fixture
async def world(tmp_path: Path) -> World:
    """Give scripted memory and metrics and an empty data directory."""
    return World(tmp_path)


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    """Give a backend that serves `tiny`."""
    async with OpenAIServer("tiny") as running:
        yield running


@pytest.fixture
async def other() -> AsyncIterator[OpenAIServer]:
    """Give a second backend that serves `tiny`."""
    async with OpenAIServer("tiny") as running:
        yield running


@pytest.fixture
async def router(world: World, server: OpenAIServer) -> AsyncIterator[RouterServiceStub]:
    """Give a router over the one backend `a`."""
    async with world.router(server) as stub:
        yield stub


@pytest.fixture(params=[1, 7, 4096])
def normalise(request: pytest.FixtureRequest) -> Normalise:
    """Give a function from the frames of a stream to its events."""

    def run(*frames: bytes) -> list[ChatEvent]:
        return normalised(frames, request.param)

    return run
