"""Anthropic's own client, with its strict response validation, reads all we write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from lair.common.v1.chat_pb2 import FunctionCall, ToolCall, Usage
from lair.router.v1.chat_pb2 import MEMORY_POLICY_FULL, ToolCallDelta
from lair.router.v1.router_service_pb2 import CountTokensResponse
from svckit.errors import ServiceError
from tests.gateway.conftest import Stack
from tests.gateway.scripted import ScriptedRouter, completed, delta, finish, started, waiting, whole

ASK: Any = {"model": "auto", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}
TOOLS: Any = [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]


class CountingRouter(ScriptedRouter):
    """A router that counts tokens, too."""

    async def CountTokens(self, request: Any, context: Any) -> Any:
        self._begin(request.call)
        return CountTokensResponse(token_count=42, exact=True, backend="a", model="m")


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with Stack(router=CountingRouter()).running(keepalive_seconds=0.05) as running:
        yield running


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=stack.url, api_key="any", max_retries=0, _strict_response_validation=True
    ) as opened:
        yield opened


async def test_a_whole_answer(stack: Stack, client):
    stack.router.answer = whole("Hello!")
    stack.router.answer.completion.usage.CopyFrom(Usage(prompt_tokens=3, completion_tokens=2))
    message = await client.messages.create(**ASK, system="Be terse.")
    assert [block.text for block in message.content] == ["Hello!"]
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 2)
    assert (message.stop_reason, message.role) == ("end_turn", "assistant")
    call = stack.router.calls[0]
    assert message._request_id == call.request_id
    assert call.caller.client == f"anthropic-python/{anthropic.__version__}"
    assert call.endpoint == "/v1/messages"
    assert [m.role for m in call.messages] == ["system", "user"]


async def test_headers_of_lair_work_as_everywhere(stack: Stack, client):
    raw = await client.messages.with_raw_response.create(
        **ASK, extra_headers={"X-Conversation-ID": "c1", "X-Enable-Memory": "true"}
    )
    memory = stack.router.calls[0].memory
    assert (memory.conversation_id, memory.policy) == ("c1", MEMORY_POLICY_FULL)
    assert raw.headers["x-lair-backend"] == "ollama"
    assert raw.headers["request-id"] == raw.headers["x-request-id"]


async def test_a_tool_call_and_its_result(stack: Stack, client):
    call = ToolCall(id="c1", type="function", function=FunctionCall(name="f", arguments='{"a":1}'))
    stack.router.answer = whole()
    choice = stack.router.answer.completion.choices[0]
    choice.finish_reason = "tool_calls"
    choice.message.ClearField("text")
    choice.message.reasoning = "Hm."
    choice.message.tool_calls.append(call)
    message = await client.messages.create(**ASK, tools=TOOLS, tool_choice={"type": "any"})
    assert [block.type for block in message.content] == ["thinking", "tool_use"]
    assert (message.content[1].input, message.stop_reason) == ({"a": 1}, "tool_use")
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "42"}
    loop = [*ASK["messages"], message.to_param(), {"role": "user", "content": [result]}]
    await client.messages.create(**{**ASK, "messages": loop}, tools=TOOLS)
    _, asked, answered = stack.router.calls[1].messages
    assert (asked.tool_calls[0], asked.reasoning) == (call, "Hm.")
    assert (answered.role, answered.tool_call_id, answered.text) == ("tool", "c1", "42")


async def test_the_stream_helper_adds_up_blocks_and_usage(stack: Stack, client):
    def piece(**fields):
        return delta(tool_calls=[ToolCallDelta(**fields)])

    stack.router.steps = [
        [waiting(1)],
        [started(), delta(reasoning="Hm."), delta("Hel"), delta("lo")],
        [piece(index=0, id="c1", type="function", name="f", arguments='{"x"')],
        [piece(index=1, id="c2", type="function", name="g", arguments="{}")],
        [piece(index=0, arguments=":1}")],
        [finish("tool_calls"), completed(usage=Usage(prompt_tokens=30, completion_tokens=2))],
    ]
    async with client.messages.stream(**ASK, tools=TOOLS) as stream:
        texts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert texts == ["Hel", "lo"]
    assert [block.type for block in message.content] == [
        *("thinking", "text", "tool_use", "tool_use")
    ]
    assert [block.input for block in message.content[2:]] == [{"x": 1}, {}]
    assert (message.usage.input_tokens, message.usage.output_tokens) == (30, 2)
    assert stream.request_id == stack.router.calls[0].request_id


async def test_silence_within_a_stream_is_broken_by_what_the_client_skips(stack: Stack, client):
    more = asyncio.Event()
    stack.router.steps = [[started(), delta("a")], more, [delta("b"), finish(), completed()]]
    asyncio.get_running_loop().call_later(0.3, more.set)
    raw = await client.messages.with_raw_response.create(**ASK, stream=True)
    data = await raw.http_response.aread()
    assert data.count(b": keep-alive\n\n") >= 2
    more.set()
    stream = await client.messages.create(**ASK, stream=True)
    kinds = [event.type async for event in stream]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]


async def test_a_failure_within_a_stream_keeps_its_message(stack: Stack, client):
    stack.router.steps = [[started(), delta("x")], ServiceError("UPSTREAM_FAILED", "ollama died")]
    with pytest.raises(anthropic.APIStatusError, match="ollama died"):
        async with client.messages.stream(**ASK) as stream:
            await stream.until_done()


async def test_tokens_are_counted(stack: Stack, client):
    counted = await client.messages.count_tokens(
        model="auto", messages=ASK["messages"], system="Be terse.", tools=TOOLS
    )
    assert counted.input_tokens == 42
    [call] = stack.router.calls
    assert ([m.role for m in call.messages], len(call.tools)) == (["system", "user"], 1)


async def test_the_beta_paths_are_the_same(stack: Stack, client):
    message = await client.beta.messages.create(**ASK, betas=["x-2026-01-01"])
    assert message.content[0].text == "Hello!"
    assert stack.router.calls[0].extra_json == b""


@pytest.mark.parametrize(
    ("failure", "kind", "name"),
    [
        (
            ServiceError("CONTEXT_LENGTH_EXCEEDED", "9 tokens"),
            anthropic.BadRequestError,
            "invalid_request_error",
        ),
        (
            ServiceError("UNAUTHENTICATED", "no key"),
            anthropic.AuthenticationError,
            "authentication_error",
        ),
        (
            ServiceError("PERMISSION_DENIED", "not yours"),
            anthropic.PermissionDeniedError,
            "permission_error",
        ),
        (ServiceError("MODEL_NOT_FOUND", "no model"), anthropic.NotFoundError, "not_found_error"),
        (ServiceError("RATE_LIMITED", "busy"), anthropic.RateLimitError, "rate_limit_error"),
        (ServiceError("NO_BACKEND", "none"), anthropic.InternalServerError, "overloaded_error"),
        (ServiceError("UPSTREAM_FAILED", "died"), anthropic.InternalServerError, "api_error"),
    ],
)
async def test_failures_are_the_clients_own_exceptions(stack: Stack, client, failure, kind, name):
    stack.router.answer = failure
    with pytest.raises(kind, match=failure.message) as raised:
        await client.messages.create(**ASK)
    assert raised.value.body["error"]["type"] == name
    assert raised.value.request_id == stack.router.calls[0].request_id
    assert raised.value.body["request_id"] == raised.value.request_id


async def test_a_prompt_that_is_too_long_is_told_in_the_words_agents_know(stack: Stack, client):
    stack.router.answer = ServiceError("CONTEXT_LENGTH_EXCEEDED", "9 tokens for 8")
    with pytest.raises(anthropic.BadRequestError) as raised:
        await client.messages.create(**ASK)
    assert raised.value.body["error"]["message"] == "prompt is too long: 9 tokens for 8"


@pytest.mark.parametrize(
    ("reason", "attempts"), [("RATE_LIMITED", 2), ("NO_BACKEND", 1), ("INTERNAL", 1)]
)
async def test_the_client_tries_again_only_where_it_can_help(
    stack: Stack, client, reason, attempts
):
    stack.router.answer = ServiceError(reason, "no", retry_after_seconds="0.01")
    with pytest.raises(anthropic.APIStatusError):
        await client.with_options(max_retries=1).messages.create(**ASK)
    assert len(stack.router.calls) == attempts
