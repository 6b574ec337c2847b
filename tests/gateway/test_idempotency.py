"""`Idempotency-Key`: a request that is sent twice is answered once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.idempotency import KEPT_SECONDS, MAX_ANSWER_BYTES, Answer, Answers
from svckit.errors import ServiceError
from tests.gateway.conftest import CHAT, Stack
from tests.gateway.keyed import add_key, bearer
from tests.gateway.scripted import completed, delta, finish, started, whole

FAILED = ServiceError("UPSTREAM_FAILED", "every backend failed: ollama", model="m", backends="o")
STREAM = [[started(), delta("Hel")], [delta("lo")], [finish(), completed()]]
ME = ("", "me", "k1")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def answer(size: int) -> Answer:
    return Answer(200, {}, b"x" * size)


def keep(answers: Answers, name: str, size: int) -> None:
    with answers.making((name,), b"digest") as kept:
        kept(answer(size))


async def kept(answers: Answers, *names: str) -> list[bool]:
    return [await answers.get((name,), b"digest") is not None for name in names]


# -- what is kept --------------------------------------------------------------


async def test_an_answer_is_kept_for_a_day():
    clock = Clock()
    answers = Answers(clock=clock)
    keep(answers, "a", 3)
    clock.now = KEPT_SECONDS
    assert await answers.get(("a",), b"digest") == answer(3)
    clock.now += 1
    assert await answers.get(("a",), b"digest") is None
    assert await answers.get(("a",), b"another") is None  # what was forgotten conflicts no more


async def test_only_so_many_answers_are_kept_the_least_used_go_first():
    answers = Answers(max_answers=2)
    keep(answers, "a", 1)
    keep(answers, "b", 1)
    await answers.get(("a",), b"digest")
    keep(answers, "c", 1)
    assert await kept(answers, "a", "b", "c") == [True, False, True]


async def test_only_so_much_is_kept():
    answers = Answers(max_bytes=10)
    for name in "abc":
        keep(answers, name, 5)
    assert await kept(answers, "a", "b", "c") == [False, True, True]
    keep(answers, "d", 11)
    assert await kept(answers, "b", "c", "d") == [False, False, False]
    keep(answers, "e", 10)
    assert await kept(answers, "e") == [True]


async def test_a_large_answer_is_not_kept():
    answers = Answers()
    keep(answers, "a", MAX_ANSWER_BYTES + 1)
    keep(answers, "b", MAX_ANSWER_BYTES)
    assert await kept(answers, "a", "b") == [False, True]


async def test_those_who_wait_go_on_one_by_one_where_nothing_is_kept():
    answers = Answers()
    running, most = 0, 0

    async def ask() -> None:
        nonlocal running, most
        if await answers.get(ME, b"d") is None:
            with answers.making(ME, b"d"):
                running += 1
                most = max(most, running)
                await asyncio.sleep(0)
                running -= 1

    await asyncio.gather(*(ask() for _ in range(5)))
    assert most == 1


# -- over HTTP -----------------------------------------------------------------


def chat(stack: Stack, key: str = "k1", *, headers: Any = None, **fields: Any) -> Any:
    return stack.chat(headers={"Idempotency-Key": key} | (headers or {}), **fields)


async def test_a_request_sent_twice_is_answered_once(stack: Stack):
    async with chat(stack) as reply:
        first, body = reply.headers, await reply.read()
    stack.router.answer = whole("Another answer")
    async with chat(stack) as reply:
        assert (reply.status, await reply.read()) == (200, body)
        assert reply.headers["idempotent-replayed"] == "true"
        for name in ("content-type", "x-lair-backend", "x-conversation-id", "content-length"):
            assert reply.headers[name] == first[name]
        assert reply.headers["x-request-id"] != first["x-request-id"]
    assert "idempotent-replayed" not in first
    assert len(stack.router.calls) == 1


async def test_a_stream_is_replayed_byte_for_byte(stack: Stack):
    stack.router.steps = STREAM
    async with chat(stack, stream=True) as reply:
        body = await reply.read()
    async with chat(stack, stream=True) as reply:
        assert await reply.read() == body
        assert body.endswith(b"data: [DONE]\n\n")
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.headers["idempotent-replayed"] == "true"
    assert len(stack.router.calls) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "auto", "prompt": "Hi"}),
        ("/v1/embeddings", {"model": "auto", "input": "Hi"}),
        ("/v1/messages", CHAT | {"max_tokens": 9}),
        ("/v1/responses", {"model": "auto", "input": "Hi", "store": False}),
    ],
)
async def test_every_call_of_a_model_takes_a_key(stack: Stack, path: str, body: dict[str, Any]):
    for _ in range(2):
        headers = {"Idempotency-Key": "k1"}
        async with stack.http.post(stack.url + path, json=body, headers=headers) as reply:
            assert reply.status == 200
    assert reply.headers["idempotent-replayed"] == "true"
    assert len(stack.router.calls) == 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_another_request_under_the_same_key_is_refused(stack: Stack, path: str):
    async with chat(stack) as reply:
        assert reply.status == 200
    body = CHAT | {"temperature": 1} if path.startswith("/v1") else CHAT
    headers = {"Idempotency-Key": "k1"}
    async with stack.http.post(stack.url + path, json=body, headers=headers) as reply:
        assert (reply.status, reply.headers["x-should-retry"]) == (409, "false")
        error = (await reply.json())["error"]
    assert (error["code"], error["param"]) == ("idempotency_conflict", "Idempotency-Key")
    assert len(stack.router.calls) == 1


@pytest.mark.parametrize(
    ("key", "headers"), [("k2", {}), ("k1", {"X-User-ID": "bob"})], ids=["key", "user"]
)
async def test_another_key_or_user_has_an_answer_of_its_own(stack: Stack, key: str, headers: Any):
    async with chat(stack):
        pass
    async with chat(stack, key, headers=headers) as reply:
        assert "idempotent-replayed" not in reply.headers
    assert len(stack.router.calls) == 2


async def test_nobody_gets_the_answer_to_another_api_key(data_dir: Path):
    secrets = [add_key(data_dir), add_key(data_dir)]
    async with Stack().running() as stack:
        for secret in secrets:
            async with chat(stack, headers=bearer(secret)) as reply:
                assert reply.status == 200
                assert "idempotent-replayed" not in reply.headers
        async with chat(stack, headers=bearer("lair_unknown")) as reply:
            assert reply.status == 401


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_lets_the_next_one_try(stack: Stack, stream: bool):
    stack.router.answer = FAILED
    stack.router.steps = [FAILED]
    async with chat(stack, stream=stream) as reply:
        assert reply.status == 502
    stack.router.answer = whole()
    stack.router.steps = STREAM
    async with chat(stack, stream=stream) as reply:
        assert reply.status == 200
        assert "idempotent-replayed" not in reply.headers


async def test_a_stream_that_broke_off_is_not_kept(stack: Stack):
    stack.router.steps = [[started(), delta("Hel")], FAILED]
    async with chat(stack, stream=True) as reply:
        assert b"upstream_error" in await reply.read()
    stack.router.steps = STREAM
    async with chat(stack, stream=True) as reply:
        assert (await reply.read()).endswith(b"data: [DONE]\n\n")
    assert len(stack.router.calls) == 2


async def test_a_failure_behind_whitespace_is_not_kept():
    async with Stack().running(keepalive_whole=True, keepalive_seconds=0.02) as stack:
        stack.router.answer, stack.router.hold = FAILED, asyncio.Event()
        async with chat(stack) as reply:
            assert reply.status == 200
            stack.router.hold.set()
            assert "upstream_error" in await reply.text()
        stack.router.answer = whole()
        async with chat(stack) as reply:
            assert "Hello!" in await reply.text()


async def test_the_second_waits_for_the_first_and_gets_its_answer(stack: Stack):
    stack.router.hold = asyncio.Event()
    asking = [asyncio.ensure_future(_text(chat(stack))) for _ in range(3)]
    await stack.router.asked.wait()
    async with chat(stack, temperature=1) as reply:
        assert reply.status == 409
    stack.router.hold.set()
    texts = await asyncio.gather(*asking)
    assert len(set(texts)) == 1
    assert len(stack.router.calls) == 1


async def test_who_waits_is_not_left_hanging_by_a_client_that_leaves(stack: Stack):
    stack.router.hold = asyncio.Event()
    url = f"{stack.url}/v1/chat/completions"
    async with aiohttp.ClientSession() as leaving:
        post = leaving.post(url, json=CHAT, headers={"Idempotency-Key": "k1"})
        first = asyncio.ensure_future(post)
        await stack.router.asked.wait()
        stack.router.asked.clear()
        second = asyncio.ensure_future(_text(chat(stack)))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    async with asyncio.timeout(5):
        await stack.router.asked.wait()  # the second is asked in the first one's place
        stack.router.hold.set()
        assert "Hello!" in await second


async def test_an_empty_key_is_none(stack: Stack):
    for _ in range(2):
        async with chat(stack, "") as reply:
            assert reply.status == 200
    assert len(stack.router.calls) == 2


async def _text(post: Any) -> str:
    async with post as reply:
        assert reply.status == 200
        return str(await reply.text())
