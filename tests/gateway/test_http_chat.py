"""POST /v1/chat/completions over HTTP: hints, headers, streams, failures."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from lair.router.v1.chat_pb2 import MemoryPolicy
from svckit.errors import ServiceError
from tests.gateway.conftest import CHAT, Stack
from tests.gateway.scripted import completed, delta, finish, started, waiting

FAILED = ServiceError("UPSTREAM_FAILED", "every backend failed: ollama", model="m", backends="o")


async def frames(reply: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """Yield the events and comments of a stream as they come."""
    pending = ""
    async for data in reply.content.iter_any():
        pending += data.decode()
        *whole, pending = pending.split("\n\n")
        for frame in whole:
            yield frame
    assert pending == ""


async def read_stream(reply: aiohttp.ClientResponse) -> list[str]:
    return [frame async for frame in frames(reply)]


def content(streamed: list[str]) -> str:
    """Join the text of a stream's chunks."""
    chunks = [json.loads(f[6:]) for f in streamed if f.startswith("data: {")]
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_a_chat_is_answered_under_both_paths(stack: Stack, path):
    async with stack.http.post(stack.url + path, json=CHAT) as reply:
        assert reply.status == 200
        assert (await reply.json())["choices"][0]["message"]["content"] == "Hello!"
        assert reply.headers["x-lair-backend"] == "ollama"
        assert reply.headers["x-lair-model"] == "qwen3:8b"
        assert reply.headers["x-lair-route"] == "exact model"
        assert reply.headers["x-lair-fallbacks"] == "1"
        assert reply.headers["x-lair-memory"] == "history=4"
        assert reply.headers["x-conversation-id"] == "conv-1"


async def test_the_call_carries_identity_hints_and_the_replys_request_id(stack: Stack):
    sent = {
        "X-User-ID": "ana",
        "X-Project": "lair",
        "X-Session-ID": "s1",
        "User-Agent": "OpenAI/Python 3.52.0",
        "X-Conversation-ID": "conv-1",
        "X-Enable-Memory": "true",
        "X-Provider": "ollama",
        "X-Local-Only": "1",
        "X-Priority": "agent",
        "X-Max-Context": "4096",
        "X-Enable-Tracing": "false",
        "X-Request-ID": "mine",
    }
    async with stack.chat(headers=sent, top_k=5) as reply:
        assert reply.headers["x-client-request-id"] == "mine"
        request_id = reply.headers["x-request-id"]
    [call] = stack.router.calls
    assert call.request_id == request_id
    assert request_id[14] == "7"
    assert (call.caller.user_id, call.caller.project) == ("ana", "lair")
    assert (call.caller.session_id, call.caller.client) == ("s1", "openai-python/3.52.0")
    assert call.memory.conversation_id == "conv-1"
    assert call.memory.policy == MemoryPolicy.MEMORY_POLICY_FULL
    assert (call.route.backend, call.route.local_only) == ("ollama", True)
    assert (call.route.priority, call.route.max_context_tokens) == ("agent", 4096)
    assert call.untraced
    assert call.endpoint == "/v1/chat/completions"
    assert call.extra_json == b'{"top_k":5}'


async def test_json_is_taken_whatever_the_content_type_says(stack: Stack):
    url = f"{stack.url}/v1/chat/completions"
    async with stack.http.post(
        url, data=json.dumps(CHAT).encode(), headers={"content-type": "text/plain"}
    ) as reply:
        assert reply.status == 200


@pytest.mark.parametrize(
    ("headers", "body", "param"),
    [
        ({"X-Enable-Memory": "maybe"}, CHAT, "X-Enable-Memory"),
        ({"X-User-ID": "x" * 257}, CHAT, "X-User-ID"),
        ({}, CHAT | {"temperature": 9}, "temperature"),
        ({}, {"messages": [{"role": "user"}]}, "messages[0].content"),
    ],
)
async def test_a_bad_request_is_a_400_that_names_the_field(stack: Stack, headers, body, param):
    url = f"{stack.url}/v1/chat/completions"
    async with stack.http.post(url, json=body, headers=headers) as reply:
        assert reply.status == 400
        assert reply.headers["x-should-retry"] == "false"
        assert reply.headers["x-request-id"]
        error = (await reply.json())["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert set(error) == {"message", "type", "param", "code"}
    assert stack.router.calls == []


@pytest.mark.parametrize(
    "body", [b"{", b'{"messages": NaN}', b"[" * 5000, b"\xff\xfe", b'{"a": "\\ud800"}']
)
async def test_a_broken_body_is_a_400(stack: Stack, body):
    async with stack.http.post(f"{stack.url}/v1/chat/completions", data=body) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["type"] == "invalid_request_error"


async def test_a_body_that_is_not_what_its_encoding_says_is_a_400(stack: Stack):
    async with stack.http.post(
        f"{stack.url}/v1/chat/completions", data=b"plain", headers={"content-encoding": "gzip"}
    ) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["type"] == "invalid_request_error"


async def test_a_body_over_the_limit_is_a_413():
    async with Stack().running(max_body_mb=1) as stack:
        body = json.dumps(CHAT | {"padding": "x" * 2**21}).encode()
        url = f"{stack.url}/v1/chat/completions"
        async with stack.http.post(url, data=io.BytesIO(body)) as reply:
            assert reply.status == 413
            assert (await reply.json())["error"]["code"] == "request_too_large"


async def test_long_header_values_are_taken(stack: Stack):
    async with stack.chat(headers={"x-codex-turn-metadata": "x" * 40_000}) as reply:
        assert reply.status == 200


async def test_a_services_failure_keeps_its_status_and_advice(stack: Stack):
    stack.router.answer = ServiceError(
        "RATE_LIMITED", "all busy", model="m", retry_after_seconds="3"
    )
    async with stack.chat() as reply:
        assert reply.status == 429
        assert reply.headers["retry-after"] == "3"
        assert reply.headers["x-should-retry"] == "true"
        assert (await reply.json())["error"]["code"] == "rate_limit_exceeded"


async def test_a_fault_of_the_router_is_a_500_in_json(stack: Stack):
    stack.router.answer = RuntimeError("boom")
    async with stack.chat() as reply:
        assert reply.status == 500
        error = (await reply.json())["error"]
        assert error["code"] == "internal_error"
        assert "boom" not in error["message"]


async def test_a_stream_has_its_headers_events_and_end(stack: Stack):
    stack.router.steps = [
        [started(), delta("Hel")],
        [delta("lo")],
        [finish(), completed()],
    ]
    async with stack.chat(stream=True) as reply:
        assert reply.status == 200
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["x-accel-buffering"] == "no"
        assert reply.headers["x-lair-backend"] == "ollama"
        assert reply.headers["x-conversation-id"] == "conv-1"
        assert reply.headers["x-request-id"] == stack.router.calls[0].request_id
        streamed = await read_stream(reply)
    assert content(streamed) == "Hello"
    assert streamed[-1] == "data: [DONE]"


async def test_the_first_event_is_not_held_back(stack: Stack):
    more = asyncio.Event()
    stack.router.steps = [[started(), delta("now")], more, [finish(), completed()]]
    async with stack.chat(stream=True) as reply:
        incoming = frames(reply)
        begin = [await anext(incoming), await anext(incoming)]
        assert content(begin) == "now"
        more.set()
        assert [frame async for frame in incoming][-1] == "data: [DONE]"


@pytest.mark.parametrize("before", [[], [[waiting(2)]]])
async def test_a_failure_before_the_answer_begins_is_an_http_status(stack: Stack, before):
    stack.router.steps = [*before, FAILED]
    async with stack.chat(stream=True) as reply:
        assert reply.status == 502
        assert reply.headers["x-should-retry"] == "true"
        assert (await reply.json())["error"]["message"] == "every backend failed: ollama"


@pytest.mark.parametrize(
    ("failure", "code"),
    [(FAILED, "upstream_error"), (RuntimeError("boom"), "internal_error")],
)
async def test_a_failure_after_it_is_one_event_and_no_end_mark(stack: Stack, failure, code):
    stack.router.steps = [[started(), delta("Hel")], failure]
    async with stack.chat(stream=True) as reply:
        assert reply.status == 200
        *_, last = await read_stream(reply)
    error = json.loads(last.removeprefix("data: "))["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code


async def test_an_answer_that_breaks_off_is_a_failure_not_an_end(stack: Stack):
    stack.router.steps = [[started(), delta("Hel")]]
    async with stack.chat(stream=True) as reply:
        *_, last = await read_stream(reply)
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_error"


async def test_a_stream_without_any_event_is_an_http_failure(stack: Stack):
    async with stack.chat(stream=True) as reply:
        assert reply.status == 502


async def said_next(incoming):
    """Return the next frame that is no keep-alive, of which a slow machine sends more."""
    while (frame := await anext(incoming)) == ": keep-alive":
        pass
    return frame


async def test_silence_before_the_answer_is_filled_with_comments_and_positions():
    closer, go = asyncio.Event(), asyncio.Event()
    async with Stack().running(keepalive_seconds=0.05) as stack:
        answer = [started(), delta("x"), finish(), completed()]
        stack.router.steps = [[waiting(3)], closer, [waiting(0)], go, answer]
        async with stack.chat(stream=True, headers={"X-Conversation-ID": "conv-9"}) as reply:
            assert reply.status == 200
            assert reply.headers["x-conversation-id"] == "conv-9"
            incoming = frames(reply)
            assert await said_next(incoming) == ": waiting, 3 ahead"
            assert await anext(incoming) == ": keep-alive"
            closer.set()
            assert await said_next(incoming) == ": waiting, next in line"
            go.set()
            rest = [frame async for frame in incoming]
    assert content(rest) == "x"
    assert rest[-1] == "data: [DONE]"


async def test_silence_within_the_answer_is_filled_with_comments():
    go = asyncio.Event()
    async with Stack().running(keepalive_seconds=0.05) as stack:
        stack.router.steps = [[started(), delta("x")], go, [finish(), completed()]]
        async with stack.chat(stream=True) as reply:
            incoming = frames(reply)
            assert content([await anext(incoming), await anext(incoming)]) == "x"
            assert await anext(incoming) == ": keep-alive"
            go.set()
            assert [frame async for frame in incoming][-1] == "data: [DONE]"


async def test_a_failure_after_the_first_comment_is_told_in_band():
    go = asyncio.Event()
    async with Stack().running(keepalive_seconds=0.05) as stack:
        stack.router.steps = [go, FAILED]
        async with stack.chat(stream=True) as reply:
            incoming = frames(reply)
            assert await anext(incoming) == ": keep-alive"
            go.set()
            last = [frame async for frame in incoming][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_error"


@pytest.mark.parametrize("in_process", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_before_the_answer_ends_the_routers_call(stream, in_process):
    never = asyncio.Event()
    async with Stack().running(in_process=in_process) as stack:
        stack.router.hold = never
        stack.router.steps = [never]
        await _leave_once_asked(stack, stream=stream)
        async with asyncio.timeout(1):
            await stack.router.cancelled.wait()


@pytest.mark.parametrize("in_process", [True, False])
async def test_a_client_that_leaves_within_the_answer_ends_the_routers_call(in_process):
    async with Stack().running(in_process=in_process) as stack:
        stack.router.steps = [[started(), delta("x")], asyncio.Event()]
        async with stack.chat(stream=True) as reply:
            await reply.content.readany()
        async with asyncio.timeout(1):
            await stack.router.cancelled.wait()


async def test_services_of_this_process_stream_and_fail_alike():
    async with Stack().running(in_process=True) as stack:
        stack.router.steps = [[started(), delta("Hel")], FAILED]
        async with stack.chat(stream=True) as reply:
            streamed = await read_stream(reply)
    assert content(streamed[:-1]) == "Hel"
    assert json.loads(streamed[-1][6:])["error"]["code"] == "upstream_error"


async def test_a_fault_of_the_gateway_is_a_500_that_names_its_line_in_the_log(stack: Stack):
    stack.router.answer.completion.extra_json = b"{"
    with capture_logs() as lines:
        async with stack.chat() as reply:
            assert reply.status == 500
            error = (await reply.json())["error"]
    assert error["code"] == "internal_error"
    assert reply.headers["x-request-id"] in error["message"]
    assert [line["event"] for line in lines] == ["request failed", "request"]


async def test_each_request_is_one_line_in_the_log(stack: Stack):
    with capture_logs() as lines:
        async with stack.chat() as reply:
            await reply.read()
    [line] = lines
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/chat/completions", 200)
    assert line["request_id"] == reply.headers["x-request-id"]
    assert line["ms"] > 0


async def _leave_once_asked(stack: Stack, **fields: Any) -> None:
    async with aiohttp.ClientSession() as leaving:
        url = f"{stack.url}/v1/chat/completions"
        asking = asyncio.ensure_future(leaving.post(url, json=CHAT | fields))
        await stack.router.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
