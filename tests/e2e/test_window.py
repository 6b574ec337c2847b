"""A conversation longer than a genuine server's window is answered, and what went is said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.e2e.stack import Lair, lair_up, llama_server

WINDOW = 1024
PATIENCE = aiohttp.ClientTimeout(total=60)


class Listening:
    """Stands before a llama.cpp server and keeps the chats that pass."""

    def __init__(self, url: str) -> None:
        self._root = url.removesuffix("/v1")
        self.chats: list[dict[str, Any]] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Yield the base URL."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        async with TestServer(app) as server:
            yield str(server.make_url("/v1"))

    async def _pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.path == "/v1/chat/completions":
            self.chats.append(json.loads(body))
        async with (
            aiohttp.ClientSession(timeout=PATIENCE) as http,
            http.request(request.method, self._root + request.path, data=body or None) as reply,
        ):
            headers = {"server": reply.headers.get("server", "")}
            return web.Response(
                body=await reply.read(),
                status=reply.status,
                content_type=reply.content_type,
                headers=headers,
            )


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    """Give a server with a window of 1,024 tokens for each of two requests."""
    with llama_server() as url:
        yield url


@asynccontextmanager
async def lair_before(listening: Listening, folder: Path) -> AsyncIterator[Lair]:
    async with listening.serving() as url:
        opened = lair_up(folder, "--single-process", backends={"tiny": url})
        lair = await asyncio.to_thread(opened.__enter__)
        try:
            yield lair
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)


async def chat(lair: Lair, messages: list[dict[str, Any]], *, stream: bool) -> tuple[int, str, str]:
    """Return the status, the header that tells of cuts, and the whole body."""
    body = {"messages": messages, "max_tokens": 8, "temperature": 0, "stream": stream}
    async with (
        aiohttp.ClientSession(timeout=PATIENCE) as http,
        http.post(f"{lair.url}/v1/chat/completions", json=body) as reply,
    ):
        return reply.status, reply.headers.get("x-lair-context", ""), await reply.text()


def conversation(turns: int) -> list[dict[str, Any]]:
    """Return turns of about 60 tokens, each with a call of a tool and its result."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Answer in one word."}]
    for number in range(turns):
        call = {
            "id": f"call-{number}",
            "type": "function",
            "function": {"name": "add", "arguments": json.dumps({"a": number, "b": number})},
        }
        messages += [
            {"role": "user", "content": f"What is {number} plus {number}, grüß Gott?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call-{number}", "content": str(2 * number)},
            {"role": "assistant", "content": f"It is {2 * number}."},
        ]
    return [*messages, {"role": "user", "content": "And now, what is the last sum?"}]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_conversation_beyond_the_window_is_cut_at_turns_and_answered(
    llama: str, tmp_path: Path, stream: bool
) -> None:
    listening = Listening(llama)
    messages = conversation(60)
    async with lair_before(listening, tmp_path) as lair:
        status, told, body = await chat(lair, messages, stream=stream)
        assert status == 200, body
        assert " oldest turns left out; about " in told
        [sent] = listening.chats
        assert sent["messages"][0] == messages[0]
        kept = sent["messages"][1:]
        assert [said["content"] for said in kept] == [
            said["content"] for said in messages[-len(kept) :]
        ]
        assert kept[0]["role"] == "user"
        assert 4 < len(kept) < len(messages) - 1
        calls = [call["id"] for said in kept for call in said.get("tool_calls", ())]
        assert calls == [said["tool_call_id"] for said in kept if said["role"] == "tool"]
        status, told, body = await chat(lair, messages[:1] + messages[-1:], stream=stream)
        assert (status, told) == (200, "")


async def test_near_the_window_the_servers_own_count_decides(llama: str, tmp_path: Path) -> None:
    listening = Listening(llama)
    async with lair_before(listening, tmp_path) as lair:
        for turns in range(4, 40, 3):
            messages = conversation(turns)
            status, told, body = await chat(lair, messages, stream=False)
            assert status == 200, body
            used = json.loads(body)["usage"]
            assert used["total_tokens"] <= WINDOW
            whole = len(listening.chats[-1]["messages"]) == len(messages)
            assert whole == (not told)
        assert told


async def test_a_last_turn_that_cannot_fit_is_refused_with_the_numbers(
    llama: str, tmp_path: Path
) -> None:
    listening = Listening(llama)
    asked = [{"role": "user", "content": "All work and no play. " * 900}]
    async with lair_before(listening, tmp_path) as lair:
        status, _, body = await chat(lair, asked, stream=True)
        error = json.loads(body)["error"]
    assert (status, error["code"]) == (400, "context_length_exceeded")
    assert "1024" in error["message"]
    assert not listening.chats
