"""Three genuine llama.cpp servers die under load: in mid-stream, before the first byte, idle.

No request fails that could have succeeded, none is answered twice, and the records name
every server that was asked in vain.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.crowd import ONLY_WHEN_TOLD, Client, Reply, aside, became, clients, look_again
from tests.e2e.servers import LlamaServer
from tests.e2e.stack import Lair, lair_up

LOAD = 100  # requests around each death
AT_A_TIME = 6
LONG = {"ignore_eos": True, "max_tokens": 900}


@dataclass
class Cluster:
    """A lair before three servers, and all that its clients were told."""

    lair: Lair
    client: Client
    servers: Sequence[LlamaServer]
    replies: list[Reply] = field(default_factory=list)

    async def load(self) -> list[Reply]:
        """Ask `LOAD` questions, streamed or not; return the replies that are not whole."""
        room, broken = asyncio.Semaphore(AT_A_TIME), []

        async def one(number: int) -> None:
            last, stream = 2 + number % 19, number % 2 == 0
            async with room:
                headers = {"X-User-ID": f"user {number % 7}"}
                reply = await self.client.ask(f"Count to {last}", stream=stream, headers=headers)
            self.replies.append(reply)
            whole = " ".join(str(n) for n in range(1, last + 1))
            ended = reply.body.endswith("data: [DONE]\n\n") if stream else True
            if (reply.status, reply.text, ended) != (200, whole, True):
                broken.append(reply)

        await asyncio.gather(*(one(number) for number in range(LOAD)))
        return broken

    def answer_count(self) -> int:
        """Count the answers that the servers brought to their end, by their own logs."""
        return sum(server.answer_count() for server in self.servers)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        servers = [LlamaServer(tmp_path / f"llama{n}.log") for n in range(3)]
        for server in servers:
            await stack.enter_async_context(aside(server))
        backends = {f"llama{n}": server.url for n, server in enumerate(servers)}
        running = lair_up(tmp_path, backends=backends, LAIR_ROUTER__PROBE_SECONDS=ONLY_WHEN_TOLD)
        lair = await stack.enter_async_context(aside(running))
        yield Cluster(lair, await stack.enter_async_context(clients(lair)), servers)


async def test_no_request_fails_that_could_have_succeeded(cluster: Cluster) -> None:
    broken = await dies_in_mid_stream(cluster)
    await dies_before_the_first_byte(cluster)
    await dies_while_idle(cluster)

    told = {reply.headers["x-request-id"]: reply for reply in cluster.replies}
    assert len(told) == 3 * LOAD + 1
    records = await cluster.client.records(3 * LOAD + 1)
    assert set(records) == set(told)
    for request_id, record in records.items():
        is_named_as_it_was(record, told[request_id], failed=told[request_id] in broken)
    tries = [attempt for record in records.values() for attempt in record["attempts"]]
    in_vain = [attempt for attempt in tries if attempt["status"] != "ok"]
    assert {"llama0", "llama1", "llama2"} == {attempt["backend"] for attempt in in_vain}
    # A server may have ended an answer and died before it was all sent; then another gave it.
    assert cluster.answer_count() <= len(tries)


async def dies_in_mid_stream(cluster: Cluster) -> list[Reply]:
    """Kill a server in the middle of an answer; return what was lost with it."""
    load = asyncio.create_task(cluster.load())
    body = {"messages": [{"role": "user", "content": "Count to 9"}], **LONG}
    async with cluster.client.pieces(body, {"X-Provider": "llama2"}) as reply:
        await reply.content.readuntil(b'"content"')
        cluster.servers[2].kill()
        rest = await reply.text()
    assert '"error"' in rest
    assert "[DONE]" not in rest
    lost = Reply(reply.status, reply.headers, "", rest)
    cluster.replies.append(lost)
    broken = await load
    for other in broken:  # they were being streamed by the same server
        assert (other.status, other.backend) == (200, "llama2")
        assert other.text, "nothing but what had begun may be lost"
        assert '"error"' in other.body
        assert "[DONE]" not in other.body
    return [lost, *broken]


async def dies_before_the_first_byte(cluster: Cluster) -> None:
    """Kill a server that has requests of which it answered nothing; all are answered."""
    cluster.servers[1].freeze()
    load = asyncio.create_task(cluster.load())

    async def has_requests() -> bool:
        return bool((await cluster.client.providers())["llama1"]["in_flight"])

    await became(has_requests, "the frozen server was sent a request")
    cluster.servers[1].kill()
    assert await load == []


async def dies_while_idle(cluster: Cluster) -> None:
    """Bring the two back, and kill the one that is asked first, while nobody asks."""
    for server in cluster.servers[1:]:
        await asyncio.to_thread(server.start)
    states = await look_again(cluster.lair, cluster.client)
    assert [states[f"llama{n}"] for n in range(3)] == ["up"] * 3
    cluster.servers[0].kill()
    before = cluster.answer_count()
    assert await cluster.load() == []

    async def answered() -> bool:
        return cluster.answer_count() - before >= LOAD

    await became(answered, "the servers' logs tell of all answers")
    assert cluster.answer_count() - before == LOAD, "none is answered twice"


def is_named_as_it_was(record: dict[str, Any], reply: Reply, *, failed: bool) -> None:
    """Compare the record of a request with what its client was told."""
    *in_vain, last = record["attempts"]
    assert len(in_vain) == reply.fallbacks
    assert (record["backend"], last["backend"]) == (reply.backend, reply.backend)
    assert len({attempt["backend"] for attempt in record["attempts"]}) == len(in_vain) + 1
    for attempt in in_vain:
        assert attempt["status"] == "upstream_error"
        assert attempt["error"]
    assert record["status"] == last["status"] == ("upstream_error" if failed else "ok")
