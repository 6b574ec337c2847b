"""The official client, with its strict response validation, reads all we write."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest

from lair.common.v1.chat_pb2 import FunctionCall, ToolCall, Usage
from lair.router.v1.chat_pb2 import ToolCallDelta
from lair.router.v1.router_service_pb2 import Model
from svckit.errors import ServiceError
from tests.gateway.conftest import Stack
from tests.gateway.scripted import completed, delta, finish, started, whole

MESSAGES = [{"role": "user", "content": "Hi"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{stack.url}/v1",
        api_key="any",
        max_retries=0,
        _strict_response_validation=True,
    ) as opened:
        yield opened


async def test_a_whole_answer(stack: Stack, client):
    stack.router.answer = whole("Hello!")
    stack.router.answer.completion.usage.CopyFrom(Usage(prompt_tokens=3, completion_tokens=2))
    answer = await client.chat.completions.create(model="auto", messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello!"
    assert answer.usage.total_tokens == 5
    assert answer._request_id == stack.router.calls[0].request_id
    assert stack.router.calls[0].caller.client == f"openai-python/{openai.__version__}"


async def test_a_tool_call_and_its_result(stack: Stack, client):
    call = ToolCall(id="c1", type="function", function=FunctionCall(name="f", arguments="{}"))
    stack.router.answer = whole()
    choice = stack.router.answer.completion.choices[0]
    choice.finish_reason = "tool_calls"
    choice.message.ClearField("text")
    choice.message.tool_calls.append(call)
    answer = await client.chat.completions.create(model="auto", messages=MESSAGES, tools=TOOLS)
    message = answer.choices[0].message
    assert message.tool_calls[0].function.name == "f"
    result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    await client.chat.completions.create(model="auto", messages=[*MESSAGES, message, result])
    sent = stack.router.calls[1].messages
    assert sent[1].tool_calls[0] == call
    assert sent[2].tool_call_id == "c1"


async def test_a_stream_by_chunks(stack: Stack, client):
    usage = Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1)
    stack.router.steps = [
        [started(), delta("Hel"), delta("lo")],
        [finish(), completed(usage=usage)],
    ]
    stream = await client.chat.completions.create(
        model="auto", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 1
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_stream_helper_adds_up_choices_tools_and_usage(stack: Stack, client):
    def piece(**fields):
        return delta(tool_calls=[ToolCallDelta(**fields)])

    stack.router.steps = [
        [started(), delta("b", index=1), delta("a")],
        [piece(index=0, id="c1", type="function", name="f", arguments='{"x"')],
        [piece(index=0, id="c1", type="function", name="f", arguments=":1}")],
        [piece(index=1, id="c2", type="function", name="g", arguments="{}")],
        [delta("B", index=1), finish("tool_calls"), finish(index=1)],
        [completed(usage=Usage(prompt_tokens=3, completion_tokens=2))],
    ]
    async with client.chat.completions.stream(
        model="auto", messages=MESSAGES, n=2, stream_options={"include_usage": True}
    ) as stream:
        final = await stream.get_final_completion()
    first, second = (choice.message for choice in final.choices)
    assert (first.role, first.content, second.content) == ("assistant", "a", "bB")
    calls = [(c.id, c.function.name, c.function.arguments) for c in first.tool_calls]
    assert calls == [("c1", "f", '{"x":1}'), ("c2", "g", "{}")]
    assert final.usage.total_tokens == 5


async def test_a_failure_within_a_stream_keeps_its_message(stack: Stack, client):
    stack.router.steps = [[started(), delta("x")], ServiceError("UPSTREAM_FAILED", "ollama died")]
    stream = await client.chat.completions.create(model="auto", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError, match="ollama died"):
        async for _ in stream:
            pass


async def test_models_with_odd_ids(stack: Stack, client):
    stack.router.models = [Model(id="auto"), Model(id="a/b:c", backend="ollama")]
    assert [model.id async for model in client.models.list()] == ["auto", "a/b:c"]
    assert (await client.models.retrieve("a/b:c")).owned_by == "ollama"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ServiceError("CONTEXT_LENGTH_EXCEEDED", "too long"), openai.BadRequestError),
        (ServiceError("UNAUTHENTICATED", "no key"), openai.AuthenticationError),
        (ServiceError("PERMISSION_DENIED", "not yours"), openai.PermissionDeniedError),
        (ServiceError("MODEL_NOT_FOUND", "no model"), openai.NotFoundError),
        (ServiceError("RATE_LIMITED", "busy"), openai.RateLimitError),
        (ServiceError("NO_BACKEND", "none"), openai.InternalServerError),
    ],
)
async def test_failures_are_the_clients_own_exceptions(stack: Stack, client, failure, kind):
    stack.router.answer = failure
    with pytest.raises(kind, match=failure.message) as raised:
        await client.chat.completions.create(model="auto", messages=MESSAGES)
    assert raised.value.code == failure.meaning.code
    assert raised.value.request_id == stack.router.calls[0].request_id


@pytest.mark.parametrize(
    ("reason", "attempts"), [("RATE_LIMITED", 2), ("NO_BACKEND", 1), ("INTERNAL", 1)]
)
async def test_the_client_tries_again_only_where_it_can_help(
    stack: Stack, client, reason, attempts
):
    stack.router.answer = ServiceError(reason, "no", retry_after_seconds="0.01")
    with pytest.raises(openai.APIStatusError):
        await client.with_options(max_retries=1).chat.completions.create(
            model="auto", messages=MESSAGES
        )
    assert len(stack.router.calls) == attempts
