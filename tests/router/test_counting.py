"""Prompts are counted exactly where a server offers it; elsewhere nobody counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from lair.common.v1.chat_pb2 import (
    ContentPart,
    ContentParts,
    FunctionCall,
    ImageUrl,
    Message,
    ToolCall,
)
from lair.router.v1.chat_pb2 import ChatCall, FunctionSpec, Tool
from router_svc.backends.connection import Connection
from router_svc.backends.counting import count
from router_svc.backends.flavours import Flavour
from router_svc.backends.openai import OpenAIBackend
from svckit.settings import Backend
from tests.e2e.stack import llama_server
from tests.router.world import user

NATIVE = "/v1/chat/completions/input_tokens"

WEATHER = Tool(
    type="function",
    function=FunctionSpec(
        name="weather",
        description="Tell the weather.",
        parameters_json=b'{"type":"object","properties":{"city":{"type":"string"}}}',
    ),
)
HELLO = ChatCall(messages=[user("Hello")])
CHATS = {
    "short": HELLO,
    "long": ChatCall(
        messages=[Message(role="system", text="You are terse."), user("Grüß dich, 世界! " * 40)],
        max_tokens=5,
        temperature=0,
    ),
    "tools": ChatCall(messages=[user("Is it raining in Paris?")], tools=[WEATHER]),
    "loop": ChatCall(
        messages=[
            user("Is it raining in Paris?"),
            Message(
                role="assistant",
                tool_calls=[
                    ToolCall(
                        id="c1",
                        type="function",
                        function=FunctionCall(name="weather", arguments='{"city": "Paris"}'),
                    )
                ],
            ),
            Message(role="tool", tool_call_id="c1", text="yes"),
        ],
        tools=[WEATHER],
    ),
}

Handler = Callable[[web.Request], Awaitable[web.Response]]


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    """Give a connection with a key."""
    made = Connection(Backend(name="a", api_key="sk-1"))
    yield made
    await made.close()


class Scripted:
    """A server with the routes it is given; it keeps what it is asked."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Yield the base URL."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        async with TestServer(app) as server:
            yield str(server.make_url("/v1"))

    async def _answer(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer sk-1"
        self.asked.append((request.path, json.loads(await request.read())))
        answer = self._answers.get(request.path.rpartition("/")[2], 404)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        if isinstance(answer, int):
            return web.json_response({"error": {"message": "no"}}, status=answer)
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        return web.json_response(answer)


async def counted(
    connection: Connection, server: Scripted, flavour: str, call: ChatCall = HELLO
) -> int | None:
    async with server.serving() as url:
        return await count(connection, url, Flavour(flavour), call, "tiny")


# -- a genuine llama.cpp -----------------------------------------------------------


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    with llama_server() as url:
        yield url


@asynccontextmanager
async def without_counting(llama: str) -> AsyncIterator[str]:
    """Stand before a genuine server as one of the versions that did not count chats."""

    async def forward(request: web.Request) -> web.Response:
        if request.path == NATIVE:
            return web.json_response({"error": {"message": "File Not Found"}}, status=404)
        url = llama.removesuffix("/v1") + request.path
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=await request.read()) as reply,
        ):
            return web.Response(body=await reply.read(), status=reply.status)

    app = web.Application()
    app.router.add_post("/{path:.*}", forward)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1"))


@pytest.mark.parametrize("name", CHATS)
async def test_llamacpp_counts_what_its_answer_reports(
    connection: Connection, llama: str, name: str
) -> None:
    backend = OpenAIBackend(Backend(name="llama", url=llama))
    try:
        short = ChatCall()
        short.CopyFrom(CHATS[name])
        short.max_tokens = 1
        reported = (await backend.chat(short, "tiny-chat")).usage.prompt_tokens
    finally:
        await backend.close()
    assert reported > 0
    async with without_counting(llama) as older:
        for url in (llama, older, f"{llama}/"):
            found = await count(connection, url, Flavour.LLAMACPP, CHATS[name], "tiny-chat")
            assert found == reported


# -- scripted ones -----------------------------------------------------------------


async def test_llamacpp_is_asked_with_the_very_body_of_the_chat(
    connection: Connection,
) -> None:
    server = Scripted(input_tokens={"input_tokens": 7})
    call = ChatCall(messages=[user("Hello")], extra_json=b'{"chat_template_kwargs": {"t": 1}}')
    assert await counted(connection, server, "llamacpp", call) == 7
    [(path, body)] = server.asked
    assert path == NATIVE
    assert body["model"] == "tiny"
    assert body["chat_template_kwargs"] == {"t": 1}


async def test_an_older_llamacpp_renders_and_tokenises(connection: Connection) -> None:
    server = Scripted(**{"apply-template": {"prompt": "<s>Hi"}, "tokenize": {"tokens": [1, 2, 3]}})
    assert await counted(connection, server, "llamacpp") == 3
    assert [path for path, _ in server.asked] == [NATIVE, "/apply-template", "/tokenize"]
    assert server.asked[-1][1] == {
        "model": "tiny",
        "content": "<s>Hi",
        "add_special": True,
        "parse_special": True,
    }


async def test_vllm_tokenises_messages_and_tools(connection: Connection) -> None:
    server = Scripted(tokenize={"count": 42, "max_model_len": 4096, "tokens": [1]})
    call = ChatCall(messages=[user("Hello")], tools=[WEATHER], max_tokens=9, temperature=0.5)
    assert await counted(connection, server, "vllm", call) == 42
    [(path, body)] = server.asked
    assert path == "/tokenize"
    assert body.keys() == {"model", "messages", "tools"}
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert body["tools"][0]["function"]["name"] == "weather"


@pytest.mark.parametrize("flavour", ["ollama", "lmstudio", "openai"])
async def test_servers_that_count_nothing_are_not_asked(
    connection: Connection, flavour: str
) -> None:
    server = Scripted()
    assert await counted(connection, server, flavour) is None
    assert server.asked == []


@pytest.mark.parametrize("flavour", ["llamacpp", "vllm"])
async def test_a_chat_with_pictures_is_not_counted(connection: Connection, flavour: str) -> None:
    picture = ContentPart(type="image_url", image_url=ImageUrl(url="https://pictures.test/a.png"))
    shown = Message(role="user", parts=ContentParts(parts=[picture]))
    server = Scripted(input_tokens={"input_tokens": 7}, tokenize={"count": 7})
    assert await counted(connection, server, flavour, ChatCall(messages=[shown])) is None
    assert server.asked == []


@pytest.mark.parametrize("flavour", ["llamacpp", "vllm"])
@pytest.mark.parametrize(
    "answer",
    [404, 400, 503, b"<html>", b"[]", b"\xff", {}, {"count": "x", "input_tokens": None}],
    ids=["absent", "refused", "loading", "html", "list", "binary", "empty", "odd"],
)
async def test_what_is_no_count_counts_as_none(
    connection: Connection, flavour: str, answer: Any
) -> None:
    server = Scripted(input_tokens=answer, tokenize=answer)
    assert await counted(connection, server, flavour) is None


@pytest.mark.parametrize(
    ("prompt", "tokens"), [({}, {"tokens": [1]}), ({"prompt": "Hi"}, {}), (400, {"tokens": [1]})]
)
async def test_an_older_llamacpp_may_fail_half_way(
    connection: Connection, prompt: Any, tokens: Any
) -> None:
    server = Scripted(**{"apply-template": prompt, "tokenize": tokens})
    assert await counted(connection, server, "llamacpp") is None


async def test_a_server_that_is_late_is_not_waited_for(connection: Connection) -> None:
    never = asyncio.Event()
    server = Scripted(tokenize=never)
    async with server.serving() as url:
        found = await count(connection, url, Flavour.VLLM, HELLO, "tiny", seconds=0.05)
        never.set()
    assert found is None


async def test_a_server_that_is_gone_counts_nothing(connection: Connection) -> None:
    async with Scripted().serving() as url:
        pass
    assert await count(connection, url, Flavour.VLLM, HELLO, "tiny") is None


async def test_a_count_that_fails_logs_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    connection = Connection(Backend(name="a"))
    try:
        url = "http://ann:s3cret@127.0.0.1:1/v1"
        assert await count(connection, url, Flavour.VLLM, HELLO, "tiny") is None
    finally:
        await connection.close()
    written = "".join(capsys.readouterr())
    assert "tokens were not counted" in written
    assert "s3cret" not in written
