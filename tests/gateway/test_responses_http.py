"""/v1/responses over HTTP, by the official client and judged by the official document."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest

from gateway.dialects.responses_items import seal
from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall, Usage
from lair.router.v1.chat_pb2 import ToolCallDelta
from svckit.errors import ServiceError
from tests.compat import document
from tests.gateway.conftest import Stack
from tests.gateway.scripted import completed, delta, finish, started, whole
from tests.gateway.stateful import client_of, created, post, prompt, remembering
from tests.gateway.test_responses_stream import events_of


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with remembering() as running:
        yield running


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(stack) as opened:
        yield opened


async def test_a_whole_answer(stack: Stack, client):
    stack.router.answer = whole("Hello!")
    stack.router.answer.completion.usage.CopyFrom(Usage(prompt_tokens=3, completion_tokens=2))
    response = await client.responses.create(model="auto", input="Hi", instructions="Be brief.")
    assert response.output_text == "Hello!"
    assert (response.status, response.instructions) == ("completed", "Be brief.")
    assert response.usage.total_tokens == 5
    assert prompt(stack) == [("system", "Be brief."), ("user", "Hi")]
    assert response.id == f"resp_{stack.router.calls[0].request_id.replace('-', '')}"
    assert stack.router.calls[0].endpoint == "/v1/responses"


async def test_every_field_of_the_reply_is_valid_whatever_was_asked(stack: Stack):
    await created(stack, input="Hi")
    reply = await created(
        stack,
        input="Hi",
        metadata={"a": "b"},
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "x", "schema": {}, "strict": True}},
        tools=[
            {"type": "function", "name": "f"},
            {"type": "web_search"},
            {"type": "of_a_year_to_come"},
        ],
        tool_choice={"type": "function", "name": "f"},
        safety_identifier="s" * 65,
        prompt={"id": "p"},
        service_tier="flex",
        user="u",
    )
    assert reply["tools"][0] == {
        "type": "function",
        "name": "f",
        "parameters": None,
        "strict": None,
    }
    assert [tool["type"] for tool in reply["tools"]] == ["function", "web_search"]


async def test_calls_and_reasoning_are_items(stack: Stack, client):
    function = FunctionCall(name="f", arguments='{"x":1}')
    call = ToolCall(id="c1", type="function", function=function)
    stack.router.answer = whole()
    stack.router.answer.completion.choices[0].message.CopyFrom(
        Message(role="assistant", reasoning="hm", tool_calls=[call])
    )
    response = await client.responses.create(
        model="auto", input="Hi", include=["reasoning.encrypted_content"]
    )
    thought, called = response.output
    assert thought.content[0].text == "hm"
    assert thought.encrypted_content == seal("hm")
    assert (called.type, called.call_id, called.arguments) == ("function_call", "c1", '{"x":1}')
    again = [
        {"role": "user", "content": "Hi"},
        *(item.model_dump(exclude_none=True) for item in response.output),
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ]
    await client.responses.create(model="auto", input=again, store=False)
    _, said, told = stack.router.prompts[-1]
    assert (said.reasoning, said.tool_calls[0]) == ("hm", call)
    assert (told.role, told.tool_call_id, told.text) == ("tool", "c1", "42")


async def test_a_stream_by_the_helper(stack: Stack, client):
    def piece(**fields):
        return delta(tool_calls=[ToolCallDelta(**fields)])

    stack.router.steps = [
        [started(), delta(reasoning="hm"), delta("Hel"), delta("lo")],
        [piece(index=0, id="c1", type="function", name="f", arguments='{"x"')],
        [piece(index=0, arguments=":1}"), finish("tool_calls")],
        [completed(usage=Usage(prompt_tokens=3, completion_tokens=2))],
    ]
    async with client.responses.stream(model="auto", input="Hi") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert final.output_text == text == "Hello"
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
    assert final.output[2].arguments == '{"x":1}'
    kept = await client.responses.retrieve(final.id)
    assert [item.id for item in kept.output] == [item.id for item in final.output]
    assert kept.usage == final.usage


async def test_a_failure_within_a_stream_keeps_its_message(stack: Stack, client):
    stack.router.steps = [[started(), delta("x")], ServiceError("UPSTREAM_FAILED", "ollama died")]
    stream = await client.responses.create(model="auto", input="Hi", stream=True)
    kinds: list[str] = []

    async def read() -> None:
        async for event in stream:
            kinds.append(event.type)  # noqa: PERF401  # what came before the failure counts

    with pytest.raises(openai.APIError, match="ollama died"):
        await read()
    assert kinds[-1] == "response.failed"


async def test_a_stream_that_ends_without_an_end_is_a_failure(stack: Stack):
    stack.router.steps = [[started(), delta("x")]]
    body = {"model": "auto", "input": "Hi", "stream": True}
    async with stack.http.post(f"{stack.url}/v1/responses", json=body) as reply:
        events = events_of(await reply.read())
    assert [event["type"] for event in events[-2:]] == ["response.failed", "error"]


async def test_a_failure_before_the_answer_is_a_status(stack: Stack):
    stack.router.answer = ServiceError("CONTEXT_LENGTH_EXCEEDED", "too long")
    status, reply = await post(stack, input="Hi")
    assert (status, reply["error"]["code"]) == (400, "context_length_exceeded")
    assert reply["error"]["param"] == "input"


async def test_a_response_is_returned_as_it_was_created(stack: Stack):
    call = ToolCall(
        id="c1", type="function", function=FunctionCall(name="p", arguments='{"input":"x"}')
    )
    stack.router.answer = whole()
    choice = stack.router.answer.completion.choices[0]
    choice.message.CopyFrom(Message(role="assistant", text="so", reasoning="hm", tool_calls=[call]))
    choice.finish_reason = "length"
    stack.router.answer.completion.usage.CopyFrom(Usage(prompt_tokens=3, completion_tokens=2))
    reply = await created(
        stack,
        input="Hi",
        instructions="Be brief.",
        metadata={"a": "b"},
        temperature=0.5,
        tools=[{"type": "custom", "name": "p"}, {"type": "web_search"}],
        include=["reasoning.encrypted_content"],
    )
    assert reply["status"] == "incomplete"
    status, kept = await stack.get(f"/v1/responses/{reply['id']}")
    assert (status, kept) == (200, reply)


async def test_what_is_too_large_to_keep_is_left_out_and_named(stack: Stack):
    tools = [{"type": "function", "name": "f", "description": "x" * 300_000}]
    reply = await created(stack, input="Hi", tools=tools, instructions="I")
    _, kept = await stack.get(f"/v1/responses/{reply['id']}")
    assert len(stack.router.calls[0].memory.record_json) < 256 * 1024
    assert (kept["tools"], kept["left_out"], kept["instructions"]) == ([], ["tools"], "I")
    assert document.judge()("Response", kept) == []


async def test_a_response_is_deleted(stack: Stack, client):
    response = await client.responses.create(model="auto", input="Hi")
    await client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.delete(response.id)


async def test_a_chat_is_no_response(stack: Stack):
    async with stack.chat(headers={"X-Conversation-ID": "c"}) as reply:
        assert reply.status == 200
    digits = stack.router.calls[0].request_id.replace("-", "")
    assert (await stack.get(f"/v1/responses/resp_{digits}"))[0] == 404


async def test_what_is_over_is_neither_streamed_nor_cancelled(stack: Stack, client):
    response = await client.responses.create(model="auto", input="Hi")
    with pytest.raises(openai.BadRequestError, match="not streamed again"):
        await client.responses.retrieve(response.id, stream=True)
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.cancel(response.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.cancel("resp_unknown")


async def test_the_input_is_listed_by_pages(stack: Stack, client):
    given = [
        {"role": "developer", "content": "D"},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "data:image/png;base64,aa"},
            ],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
        {"role": "user", "content": "U"},
    ]
    first = await created(stack, input="Before")
    response = await created(
        stack, input=given, previous_response_id=first["id"], instructions="No item."
    )
    path = f"/v1/responses/{response['id']}/input_items"
    _, listed = await stack.get(f"{path}?order=asc")
    assert document.judge()("ResponseItemList", listed) == []
    assert [item["type"] for item in listed["data"]][-4:] == [
        *("message", "function_call", "function_call_output", "message"),
    ]
    assert "Before" not in str(listed)
    pages = client.responses.input_items.list(response["id"], limit=2)
    ids = [item.id async for item in pages]
    assert ids == [item["id"] for item in reversed(listed["data"])]
    status, reply = await stack.get(f"{path}?after=msg_nowhere")
    assert (status, reply["error"]["param"]) == (400, "after")
    assert (await stack.get(f"{path}?order=up"))[0] == 400


async def test_tokens_are_counted_with_the_past(stack: Stack, client):
    first = await client.responses.create(model="auto", input="Hi")
    counted = await client.responses.input_tokens.count(
        model="auto", input="And?", previous_response_id=first.id
    )
    assert counted.input_tokens == 17
    (call,) = stack.router.token_counts
    assert [message.text for message in call.messages] == ["Hi", "Hello!", "And?"]
    assert (await client.responses.input_tokens.count()).input_tokens == 0
    assert len(stack.memory.stored) == 1


async def test_paths_exist_without_version_and_under_a_project(stack: Stack):
    for prefix in ("", "/p/demo/v1", "/p/demo"):
        status, _ = await post(stack, f"{prefix}/responses", input="Hi")
        assert status == 200


@pytest.mark.parametrize("name", ["%ff", "%00", "%F0%9F%98%80", "resp_%0a", "a%2Fb"])
async def test_odd_ids_are_not_found(stack: Stack, name):
    for path in ("responses", "conversations"):
        status, reply = await stack.get(f"/v1/{path}/{name}")
        assert status == 404, (path, reply)
