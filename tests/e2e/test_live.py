"""GET /metrics/live of a whole lair: requests as they come, get on and end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.in_process import House, in_process
from tests.fakes.answers import DONE, chunk, stream, usage_chunk
from tests.fakes.openai_server import OpenAIServer

PATIENCE_SECONDS = 10.0
HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer("tiny") as running:
        yield running


@pytest.fixture
async def house(tmp_path: Path, server: OpenAIServer) -> AsyncIterator[House]:
    async with in_process(tmp_path, server) as running:
        yield running


class Events:
    """The events of one answer."""

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self._reply = reply

    async def next(self) -> tuple[str, Any]:
        """Return the name and the data of the next event; a comment has no name."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            raw = (await self._reply.content.readuntil(b"\n\n")).decode().strip()
        if raw.startswith(":"):
            return "", raw
        name, _, data = raw.partition("\n")
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    async def of(self, name: str) -> Any:
        """Return the data of the next event called so."""
        while True:
            found, data = await self.next()
            if found == name:
                return data


@asynccontextmanager
async def watching(house: House, query: str = "", **headers: str) -> AsyncIterator[Events]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{house.url}/metrics/live?interval=0.1{query}"
    async with house.http.get(url, headers=named) as reply:
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
        events = Events(reply)
        name, data = await events.next()
        assert (name, data) == ("snapshot", {"requests": []})
        yield events


async def test_a_request_is_told_from_its_beginning_to_its_end(
    house: House, server: OpenAIServer
) -> None:
    go_on = asyncio.Event()
    end = (chunk(finish="stop"), usage_chunk(5, 2), DONE)
    server.script(stream(chunk("Hel"), chunk("lo"), go_on, *end))
    async with watching(house) as events:
        body = {**HELLO, "stream": True}
        asked = asyncio.ensure_future(
            house.post("/v1/chat/completions", body, **{"X-Project": "p"})
        )
        began = await events.of("started")
        assert (began["project"], began["requested_model"], began["streamed"]) == (
            "p",
            "tiny",
            True,
        )
        while (now := (await events.of("progress"))["requests"][0])["pieces"] < 2:
            pass
        assert (now["request_id"], now["phase"]) == (began["request_id"], "decoding")
        assert (now["backend"], now["model"]) == ("a", "tiny")
        assert now["age_ms"] > 0
        go_on.set()
        ended = await events.of("finished")
        *_, request_id = await asked
    assert ended["request_id"] == began["request_id"] == request_id
    assert (ended["status"], ended["usage"]["completion_tokens"]) == ("ok", 2)


async def test_one_users_watch_shows_no_other(house: House) -> None:
    async with watching(house, X_User_ID="ann") as events:
        for user in ("bob", "ann"):
            await house.post("/v1/chat/completions", HELLO, **{"X-User-ID": user})
        assert (await events.of("finished"))["user_id"] == "ann"


async def test_one_projects_watch_shows_no_other(house: House) -> None:
    async with watching(house, "&project=p") as events:
        for project in ("q", "p"):
            await house.post("/v1/chat/completions", HELLO, **{"X-Project": project})
        assert (await events.of("finished"))["project"] == "p"


async def test_silence_is_filled_with_comments(house: House) -> None:
    async with watching(house) as events:
        assert (await events.next())[0] == ""


@pytest.mark.parametrize("query", ["interval=0", "interval=61", "interval=x"])
async def test_an_interval_that_is_none_is_refused(house: House, query: str) -> None:
    async with house.http.get(f"{house.url}/metrics/live?{query}") as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["param"] == "interval"


async def test_its_head_has_an_end(house: House) -> None:
    async with house.http.head(f"{house.url}/metrics/live") as reply:
        assert (reply.status, reply.content_type) == (200, "text/event-stream")


async def test_who_leaves_is_noticed(house: House) -> None:
    async with watching(house):
        pass
    status, _, _ = await house.post("/v1/chat/completions", HELLO)
    assert status == 200


async def test_who_watches_keeps_no_lair_from_ending(tmp_path: Path, server: OpenAIServer) -> None:
    async with aiohttp.ClientSession() as http:
        async with in_process(tmp_path, server) as house:
            reply = await http.get(f"{house.url}/metrics/live")
            await Events(reply).next()
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert await reply.content.read() in (b"", b": keep-alive\n\n")
        reply.close()
