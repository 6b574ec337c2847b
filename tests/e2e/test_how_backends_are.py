"""How backends are, by gRPC, by GET /providers and by `lair status`, while requests run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.crowd import (
    ONLY_WHEN_TOLD,
    Client,
    Gate,
    aside,
    clients,
    lair_command,
    look_again,
)
from tests.e2e.stack import Lair, free_ports, lair_up
from tests.e2e.test_grpc import call
from tests.fakes.answers import DONE, chunk, reply, stream, usage_chunk
from tests.fakes.openai_server import OpenAIServer

LIST = "lair.router.v1.RouterService/ListBackends"
WORDS, PAUSE = 20, 0.02
DEGRADED = 1  # the exit code where a backend is down
FASTEST = 1.5 / PAUSE  # tokens a second: a pause may seem shorter where its ends were read late


@dataclass
class House:
    """A lair before a backend that is slow, and one that nobody ever started."""

    lair: Lair
    client: Client
    server: OpenAIServer

    def by_grpc(self) -> dict[str, dict[str, Any]]:
        """Return the backends by name; what is zero or empty is left out."""
        answer = call(self.lair.port + 1, LIST, {})
        return {backend["name"]: backend for backend in answer["backends"]}

    async def by_command(self, *, code: int = 0) -> dict[str, dict[str, str]]:
        """Return the table of `lair status`: for each backend its cells by title."""
        printed = (await lair_command(self.lair, "status", code=code)).splitlines()
        [place] = [n for n, line in enumerate(printed) if line.split()[:1] == ["backend"]]
        starts = {title: printed[place].index(title) for title in TITLES if title in printed[place]}
        titles = sorted(starts, key=lambda title: starts[title])
        return {
            row.split()[0]: dict(zip(titles, cells(row, [starts[t] for t in titles]), strict=True))
            for row in takewhile(str.strip, printed[place + 1 :])
        }


TITLES = ("backend", "health", "auto", "busy", "waiting", "tokens/s", "device", "models", "last")


def cells(row: str, starts: list[int]) -> list[str]:
    """Cut a row of a table where its titles begin; numbers stand at the right of theirs."""
    ends = [*starts[1:], len(row)]
    return [row[start:end].strip() for start, end in zip(starts, ends, strict=True)]


@asynccontextmanager
async def house_of(folder: Path, **others: str) -> AsyncIterator[House]:
    """Put a lair before the backend `slow`, which takes one request at a time, and `others`."""
    async with OpenAIServer("tiny") as server:
        slow = {"url": server.url, "device": "3090", "max_concurrent": 1}
        running = lair_up(
            folder, backends={"slow": slow, **others}, LAIR_ROUTER__PROBE_SECONDS=ONLY_WHEN_TOLD
        )
        async with aside(running) as lair, clients(lair) as client:
            yield House(lair, client, server)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with house_of(tmp_path, absent=f"http://127.0.0.1:{free_ports(1)}/v1") as house:
        yield house


@pytest.fixture
async def failed(tmp_path: Path) -> AsyncIterator[House]:
    """Give a lair whose only backend failed once."""
    async with house_of(tmp_path) as house:
        house.server.script(reply({"error": {"message": "out of memory"}}, 500))
        assert (await house.client.ask("x")).status == 502
        yield house


async def test_all_three_show_health_queue_speed_and_the_last_error(house: House) -> None:
    client, server, gate = house.client, house.server, Gate()
    words = [step for n in range(WORDS) for step in (chunk(f"{n} "), PAUSE)]
    server.script(stream(*words, chunk(finish="stop"), usage_chunk(5, WORDS), DONE))
    assert (await client.ask("a measured answer", stream=True)).status == 200
    server.script(gate)
    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(client.ask(f"{number}"))
        await client.busy("slow", in_flight=1, queued=2)

        by_http, by_grpc = await client.providers(), house.by_grpc()
        by_command = await house.by_command(code=DEGRADED)
        gate.open()

    slow = by_http["slow"]
    assert (slow["state"], slow["in_flight"], slow["queued"]) == ("up", 1, 2)
    assert (slow["slots"], slow["device"], slow["last_error"]) == (1, "3090", None)
    assert 0 < slow["tokens_per_second"] < FASTEST
    told = by_grpc["slow"]
    assert (told["state"], told["inFlightCount"], told["queuedCount"]) == (
        "BACKEND_STATE_UP",
        1,
        2,
    )
    assert told["tokensPerSecond"] == slow["tokens_per_second"]
    row = by_command["slow"]
    assert (row["health"], row["busy"], row["waiting"]) == ("up", "1/1", "2")
    assert row["tokens/s"] == f"{slow['tokens_per_second']:.1f}"

    absent = by_http["absent"]
    assert (absent["state"], absent["tokens_per_second"]) == ("down", None)
    assert absent["last_error"]
    assert by_grpc["absent"]["state"] == "BACKEND_STATE_DOWN"
    assert by_grpc["absent"]["lastError"] == absent["last_error"]
    assert by_command["absent"]["health"] == "down"
    assert absent["last_error"] in by_command["absent"]["last"]


async def test_all_three_show_the_error_of_the_last_answer(failed: House) -> None:
    shown = (await failed.client.providers())["slow"]["last_error"]
    assert shown == "HTTP 500: out of memory"
    assert failed.by_grpc()["slow"]["lastError"] == shown
    assert (await failed.by_command())["slow"]["last"] == shown


async def test_the_last_error_is_shown_until_something_else_goes_wrong(failed: House) -> None:
    assert (await look_again(failed.lair, failed.client))["slow"] == "up"
    assert (await failed.client.providers())["slow"]["last_error"] == "HTTP 500: out of memory"
