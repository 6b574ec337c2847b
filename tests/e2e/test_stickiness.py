"""A conversation over two equal, genuine servers stays where it is, and moves when it must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.crowd import ONLY_WHEN_TOLD, Client, Reply, aside, clients, look_again
from tests.e2e.servers import LlamaServer
from tests.e2e.stack import Lair, lair_up

TURNS = 10


@dataclass
class Talk:
    """A conversation: lair keeps its history, or its client sends it again with each turn."""

    client: Client
    kept: bool
    past: list[str] = field(default_factory=list)

    async def say(self, text: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Take a turn."""
        own = {"X-Conversation-ID": "talk"} if self.kept else {}
        texts = [text] if self.kept else [*self.past, text]
        reply = await self.client.ask(*texts, headers={**own, **(headers or {})})
        assert reply.status == 200, reply.body
        self.past += [text, reply.text]
        return reply


@dataclass
class Two:
    """A lair before the servers `one` and `two`, which looks at them when told to."""

    lair: Lair
    client: Client
    servers: dict[str, LlamaServer]


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        servers = {name: LlamaServer(tmp_path / f"{name}.log") for name in ("one", "two")}
        for server in servers.values():
            await stack.enter_async_context(aside(server))
        backends = {name: server.url for name, server in servers.items()}
        running = lair_up(tmp_path, backends=backends, LAIR_ROUTER__PROBE_SECONDS=ONLY_WHEN_TOLD)
        lair = await stack.enter_async_context(aside(running))
        yield Two(lair, await stack.enter_async_context(clients(lair)), servers)


@pytest.mark.parametrize("kept", [True, False], ids=["kept by lair", "sent again"])
async def test_ten_turns_stay_and_move_once_when_their_server_dies(two: Two, kept: bool) -> None:
    talk = Talk(two.client, kept)
    await talk.say("Say hello", {"X-Provider": "two"})
    for turn in range(1, TURNS):
        reply = await talk.say("Say hello")
        assert (reply.backend, reply.fallbacks) == ("two", 0)
        assert "same as the conversation's last answer" in reply.headers["x-lair-route"]
        assert (await two.client.ask(f"Another conversation {turn}")).backend == "one"

    two.servers["two"].kill()
    moved = await talk.say("Say hello")
    assert (moved.backend, moved.fallbacks) == ("one", 1)

    await asyncio.to_thread(two.servers["two"].start)
    assert (await look_again(two.lair, two.client))["two"] == "up"
    for _ in range(3):
        reply = await talk.say("Say hello")
        assert (reply.backend, reply.fallbacks) == ("one", 0)
    records = await two.client.records(2 * TURNS + 3)
    tried = [[a["backend"] for a in record["attempts"]] for record in records.values()]
    assert [names for names in tried if len(names) > 1] == [["two", "one"]]


async def test_a_conversation_whose_server_was_seen_to_die_says_that_it_moved(two: Two) -> None:
    talk = Talk(two.client, kept=True)
    await talk.say("Say hello", {"X-Provider": "two"})
    assert (await talk.say("Say hello")).backend == "two"

    two.servers["two"].kill()
    assert (await look_again(two.lair, two.client))["two"] == "down"
    moved = await talk.say("Say hello")
    assert (moved.backend, moved.fallbacks) == ("one", 0)
    said = {name: value for name, value in moved.headers.items() if "lair" in name.lower()}
    assert any("two" in value for value in said.values()), said
