"""What lair does when the terminal it runs in closes: nobody would see it run on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from launcher.probes import answers_http, serves_grpc
from launcher.supervisor import Probe
from tests.fakes.terminal import InTerminal, in_terminal
from tests.launcher.support import gone, until

pytestmark = pytest.mark.e2e

UP = [(), ("--separate",), ("--single-process",)]
ALONE = ["gateway", "metrics", "router"]
QUIET = {"LAIR_ROUTER__DISCOVER": "false", "LAIR_MEMORY__INDEX": "false"}


async def ended(running: InTerminal) -> int:
    """Close the terminal and wait; return the exit code."""
    running.close()
    return await asyncio.wait_for(running.process.wait(), 30)


@pytest.mark.parametrize("options", UP)
async def test_all_of_lair_ends_with_its_terminal(
    options: tuple[str, ...], environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    place = ("--port", str(port), "--data-dir", str(tmp_path / "data"))
    command = ("-m", "launcher", "up", *options, *place)
    async with in_terminal(*command, environment={**environment, **QUIET}) as running:
        assert running.process.stdout
        await asyncio.wait_for(running.process.stdout.readuntil(b"Ctrl-C"), 60)
        children = psutil.Process(running.process.pid).children(recursive=True)
        assert await ended(running) == 0
    await until(lambda: all(gone(child.pid) for child in children))


@pytest.mark.parametrize("service", ALONE)
async def test_a_service_alone_ends_with_its_terminal(
    service: str, environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    command = ("-m", "launcher", service, "--port", str(port))
    variables = {**environment, **QUIET, "LAIR_DATA_DIR": str(tmp_path / "data")}
    async with in_terminal(*command, environment=variables) as running:
        await ready(probe(service, port))
        assert await ended(running) == 0


def probe(service: str, port: int) -> Probe:
    address = f"127.0.0.1:{port}"
    return answers_http(f"http://{address}/") if service == "gateway" else serves_grpc(address)


async def ready(probe: Probe) -> None:
    async with asyncio.timeout(60):
        while not await probe():  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)
