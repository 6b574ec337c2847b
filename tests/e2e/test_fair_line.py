"""One device that takes one request at a time, and more clients than that, over HTTP.

Who was served when is read from the backend's own log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.crowd import Client, Gate, Reply, aside, clients, names_in
from tests.e2e.stack import lair_up
from tests.fakes.openai_server import OpenAIServer

AGENTS = 20
ROUNDS = 3


@dataclass(frozen=True)
class Counter:
    """A device with one slot, the clients before it, and its backend's log."""

    client: Client
    server: OpenAIServer
    gate: Gate

    async def serve_next(self) -> str:
        """Let the request that runs end; return who is served then."""
        number = len(self.gate.opened)
        self.gate.opened[-1].set()
        await self.server.request(number)
        return names_in(self.server)[number]

    async def waiting(self, count: int) -> None:
        """Wait until one request runs and `count` wait."""
        await self.client.busy("gpu", in_flight=1, queued=count)


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Counter]:
    gate = Gate()
    async with OpenAIServer("tiny") as server:
        server.script(gate)
        table = {"url": server.url, "device": "3090", "max_concurrent": 1}
        running = lair_up(tmp_path, backends={"gpu": table})
        async with aside(running) as lair, clients(lair) as client:
            yield Counter(client, server, gate)


def who(name: str, priority: str) -> Mapping[str, str]:
    return {"X-User-ID": name, "X-Priority": priority}


async def test_one_person_waits_for_one_request_of_twenty_agents(counter: Counter) -> None:
    client, gate = counter.client, counter.gate

    async def agent(name: str) -> None:
        for _ in range(2):
            assert (await client.ask(name, headers=who(name, "agent"))).text == "yes"

    async with asyncio.TaskGroup() as agents:
        for number in range(AGENTS):
            agents.create_task(agent(f"agent {number}"))
        for turn in range(ROUNDS):
            await counter.waiting(AGENTS - 1)
            asked = agents.create_task(client.ask("person", headers=who("ann", "interactive")))
            await counter.waiting(AGENTS)
            # One request is running; it is the only one that ends before the person's turn.
            assert await counter.serve_next() == "person"
            assert await counter.serve_next() != "person"
            assert "x-lair-queue-ms" in (await asked).headers
            assert len(gate.opened) == 2 * turn + 3
        gate.open()

    log = names_in(counter.server)
    served = [name for name in log if name != "person"]
    assert len(set(served[:AGENTS])) == AGENTS, "none is served twice before all were served once"
    assert sorted(served) == sorted(f"agent {number}" for number in range(AGENTS) for _ in "12")
    assert log.count("person") == ROUNDS
    records = await client.records(2 * AGENTS + ROUNDS)
    assert {record["status"] for record in records.values()} == {"ok"}
    assert all(len(record["attempts"]) == 1 for record in records.values())


async def test_keys_of_one_class_take_turns_and_the_lowest_class_is_not_starved(
    counter: Counter,
) -> None:
    came = [("first", "agent"), ("batch", "batch")]
    came += [("greedy", "agent")] * 8 + [("b", "agent"), ("c", "agent")] * 2
    async with asyncio.TaskGroup() as tasks:
        for place, (name, priority) in enumerate(came):
            tasks.create_task(counter.client.ask(name, headers=who(name, priority)))
            await counter.waiting(place)
        order = [await counter.serve_next() for _ in came[1:]]
        counter.gate.open()
    turns = ["greedy", "b", "c"] * 2 + ["greedy"] * 6
    assert order == [*turns[:8], "batch", *turns[8:]]


async def test_fifty_who_left_never_reach_the_backend(counter: Counter) -> None:
    client, gate = counter.client, counter.gate
    asked = [asyncio.create_task(client.ask("running"))]
    await counter.waiting(0)
    left = [asyncio.create_task(client.ask("left", stream=n % 2 == 0)) for n in range(50)]
    await counter.waiting(50)
    asked.append(asyncio.create_task(client.ask("staying")))
    await counter.waiting(51)

    for task in left:
        task.cancel()
    await asyncio.wait(left)
    await counter.waiting(1)
    gate.open()

    replies: list[Reply] = await asyncio.gather(*asked)
    assert [reply.text for reply in replies] == ["yes", "yes"]
    records = await client.records(52)
    assert names_in(counter.server) == ["running", "staying"]
    statuses = [record["status"] for record in records.values()]
    assert (statuses.count("ok"), statuses.count("client_cancelled")) == (2, 50)
    assert all(r["attempts"] == [] for r in records.values() if r["status"] != "ok")


async def test_two_backends_on_one_device_share_its_line(tmp_path: Path) -> None:
    gates, asked = {"a": Gate(), "b": Gate()}, "aabbab"
    async with OpenAIServer("tiny") as a, OpenAIServer("tiny") as b, asyncio.TaskGroup() as tasks:
        servers = {"a": a, "b": b}
        table = {"device": "3090", "max_concurrent": 1}
        backends = {name: {"url": server.url, **table} for name, server in servers.items()}
        for name, server in servers.items():
            server.script(gates[name])
        async with aside(lair_up(tmp_path, backends=backends)) as lair, clients(lair) as client:
            waiting = []
            for place, name in enumerate(asked):
                headers = {"X-Provider": name, "X-User-ID": f"user {place}"}
                waiting.append(tasks.create_task(client.ask(f"{place}", headers=headers)))
                await client.busy("a", in_flight=1, queued=place)
            for place, name in enumerate(asked):
                await servers[name].request(asked[:place].count(name))
                assert names_in(servers[name])[-1] == f"{place}"
                assert sum(gate.held for gate in gates.values()) == 1
                gates[name].opened[-1].set()
            assert [(await reply).backend for reply in waiting] == list(asked)
