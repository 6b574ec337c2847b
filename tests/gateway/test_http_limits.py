"""Keys that may be used only so often, over HTTP."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.main import serving
from lair.common.v1.chat_pb2 import Usage
from lair.metrics.v1.report_service_pb2 import GetDashboardResponse, TokenTotals
from lair.router.v1.embedding_pb2 import Embedding, EmbeddingList
from lair.router.v1.router_service_pb2 import EmbedResponse
from svckit.channels import connect
from svckit.errors import ServiceError
from svckit.settings import Gateway, Settings
from tests.gateway.conftest import Stack
from tests.gateway.keyed import add_key, bearer
from tests.gateway.scripted import completed, delta, finish, started, whole

TEN = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
LEFT = "x-ratelimit-remaining-tokens"


class Limited:
    """A client whose key has limits."""

    def __init__(self, stack: Stack, secret: str) -> None:
        self.stack = stack
        self.shown = bearer(secret)

    async def left(self) -> int:
        """Return how many tokens are left."""
        async with self.stack.http.get(f"{self.stack.url}/v1/models", headers=self.shown) as reply:
            return int(reply.headers[LEFT])

    async def post(self, path: str, **body: object) -> int:
        """Post a body; return the status once the answer was read."""
        url = self.stack.url + path
        async with self.stack.http.post(url, json=body, headers=self.shown) as reply:
            await reply.read()
            return reply.status


@asynccontextmanager
async def limited(data_dir: Path, **limits: int):
    secret = add_key(data_dir, name="ci", **limits)
    async with Stack().running() as stack:
        yield Limited(stack, secret)


async def test_replies_to_a_limited_key_say_what_is_left(data_dir):
    async with limited(data_dir, requests_per_minute=60) as client:
        client.stack.router.steps = [[started(), delta("x"), finish(), completed()]]
        async with client.stack.chat(headers=client.shown) as reply:
            assert reply.headers["x-ratelimit-limit-requests"] == "60"
            assert reply.headers["x-ratelimit-remaining-requests"] == "59"
            assert re.fullmatch(r"\d+ms|1s", reply.headers["x-ratelimit-reset-requests"])
            assert LEFT not in reply.headers
        async with client.stack.chat(headers=client.shown, stream=True) as reply:
            assert reply.headers["x-ratelimit-remaining-requests"] == "58"
        async with client.stack.chat(headers=client.shown, messages=3) as reply:
            assert reply.status == 400
            assert reply.headers["x-ratelimit-remaining-requests"] == "57"


async def test_too_many_requests_are_a_429_that_says_when_to_come_back(data_dir):
    async with limited(data_dir, requests_per_minute=2) as client:
        for status in (200, 200, 429):
            async with client.stack.chat(headers=client.shown) as reply:
                assert (reply.status, await reply.read() != b"") == (status, True)
        assert int(reply.headers["retry-after"]) in range(20, 31)
        assert reply.headers["x-should-retry"] == "true"
        assert reply.headers["x-ratelimit-remaining-requests"] == "0"
        error = (await reply.json())["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert "'ci'" in error["message"]
        assert len(client.stack.router.calls) == 2
        assert (await client.stack.get("/health", **client.shown))[0] == 200, "open to all"


async def test_a_days_tokens_are_counted_from_every_kind_of_answer(data_dir):
    async with limited(data_dir, tokens_per_day=1000) as client:
        router = client.stack.router
        router.answer = whole()
        router.answer.completion.usage.CopyFrom(TEN)
        router.steps = [[started(), delta("x")], [finish(), completed(usage=TEN)]]
        vectors = EmbeddingList(embeddings=[Embedding(float32_values=b"\0\0\0\0")], usage=TEN)
        router.vectors = EmbedResponse(result=vectors)
        messages = [{"role": "user", "content": "Hi"}]
        assert await client.left() == 1000
        for number, (path, body) in enumerate(
            [
                ("/v1/chat/completions", {"messages": messages}),
                ("/v1/chat/completions", {"messages": messages, "stream": True}),
                ("/v1/completions", {"prompt": "Hi"}),
                ("/v1/completions", {"prompt": "Hi", "stream": True}),
                ("/v1/embeddings", {"model": "m", "input": "Hi"}),
            ],
            start=1,
        ):
            assert await client.post(path, **body) == 200
            assert await client.left() == 1000 - 10 * number


async def test_an_answer_whose_tokens_nobody_tells_is_estimated_by_its_text(data_dir):
    async with limited(data_dir, tokens_per_day=10_000) as client:
        client.stack.router.answer = whole("word " * 400)
        client.stack.router.steps = [
            [started(), delta("word " * 200), delta(reasoning="word " * 200)],
            [finish(), completed()],
        ]
        picture = {"type": "image_url", "image_url": {"url": "data:," + "x" * 9000}}
        content = [{"type": "text", "text": "x" * 4000}, picture]
        before = 10_000
        for stream in (False, True):
            messages = [{"role": "user", "content": content}]
            await client.post("/v1/chat/completions", messages=messages, stream=stream)
            left = await client.left()
            assert 1500 <= before - left < 1650, "1000 of the prompt, 500 of the answer"
            before = left


async def test_a_stream_that_breaks_off_costs_what_came_of_it(data_dir):
    async with limited(data_dir, tokens_per_day=10_000) as client:
        broken = ServiceError("UPSTREAM_FAILED", "gone")
        client.stack.router.steps = [[started(), delta("x" * 4000)], broken]
        messages = [{"role": "user", "content": "Hi"}]
        await client.post("/v1/chat/completions", messages=messages, stream=True)
        assert 1000 <= 10_000 - await client.left() < 1100
        before = await client.left()
        client.stack.router.steps = [broken]
        await client.post("/v1/chat/completions", messages=messages, stream=True)
        assert await client.left() == before, "nothing came"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 4000}]}),
        ("/v1/completions", {"prompt": "x" * 4000}),
    ],
)
async def test_who_leaves_before_a_whole_answer_pays_for_the_prompt(data_dir, path, body):
    async with limited(data_dir, tokens_per_day=10_000) as client:
        router = client.stack.router
        router.hold = asyncio.Event()
        left = asyncio.create_task(client.post(path, **body))
        await router.asked.wait()
        left.cancel()
        await router.cancelled.wait()
        assert 1000 <= 10_000 - await client.left() < 1100


async def test_when_the_days_tokens_are_used_models_are_not_asked_but_the_rest_is(data_dir):
    async with limited(data_dir, tokens_per_day=10) as client:
        client.stack.router.answer = whole()
        client.stack.router.answer.completion.usage.CopyFrom(TEN)
        async with client.stack.chat(headers=client.shown) as reply:
            assert (reply.status, reply.headers[LEFT]) == (200, "0")
        async with client.stack.chat(headers=client.shown) as reply:
            assert reply.status == 429
            assert 0 < int(reply.headers["retry-after"]) <= 86_400
            assert "10 tokens of this day" in (await reply.json())["error"]["message"]
        assert (await client.stack.get("/memory/conversations", **client.shown))[0] == 200


async def test_what_was_used_before_a_restart_is_asked_of_metrics_once(data_dir):
    async with limited(data_dir, tokens_per_day=100, id="k") as client:
        metrics = client.stack.metrics
        metrics.dashboard = GetDashboardResponse(tokens=TokenTotals(total_count=60))
        assert [await client.left() for _ in range(3)] == [40] * 3
        [asked] = metrics.requests
        assert asked.scope.key_id == "k"
        assert asked.scope.user_id == ""
        assert asked.scope.start_time.seconds % 86_400 == 0


async def test_with_metrics_down_a_day_begins_at_nothing(data_dir, unused_tcp_port):
    secret = add_key(data_dir, tokens_per_day=100)
    stack = Stack()
    async with (
        stack.running(),
        connect(f"127.0.0.1:{unused_tcp_port}") as nowhere,
        serving(
            Settings(gateway=Gateway(port=0)), router=nowhere, memory=nowhere, metrics=nowhere
        ) as port,
        stack.http.get(f"http://127.0.0.1:{port}/v1/models", headers=bearer(secret)) as reply,
    ):
        assert reply.headers[LEFT] == "100"


@pytest.mark.parametrize("path", ["/", "/health"])
async def test_open_routes_cost_nothing(data_dir, path):
    async with limited(data_dir, requests_per_minute=1) as client:
        for _ in range(3):
            assert (await client.stack.get(path, **client.shown))[0] == 200
