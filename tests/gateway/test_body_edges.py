"""Bodies that are no good, over HTTP: a clear 400 at once, whatever they hold."""

from __future__ import annotations

import io
import time

import aiohttp
import pytest

from lair.common.v1.chat_pb2 import FunctionCall, ToolCall
from lair.router.v1.chat_pb2 import ToolCallDelta
from tests.gateway.conftest import Stack
from tests.gateway.scripted import completed, delta, finish, started, whole

PATHS = (
    *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"),
    *("/v1/messages", "/v1/messages/count_tokens", "/v1/routing/explain"),
)
DEEP = 100_000
CHAT = b'{"messages": [{"role": "user", "content": %b}], "x": %b}'
JSON = {"content-type": "application/json"}


async def refusal(stack: Stack, body: bytes, path: str = PATHS[0], **headers: str) -> str:
    """Post a body that must be refused; return the words of the refusal."""
    began = time.monotonic()
    sent = {"content_type": "application/json"} | headers
    named = {name.replace("_", "-"): value for name, value in sent.items()}
    async with stack.http.post(stack.url + path, data=io.BytesIO(body), headers=named) as reply:
        assert reply.status == 400
        assert reply.content_type == "application/json"
        message: str = (await reply.json())["error"]["message"]
    assert time.monotonic() - began < 5
    assert len(message) < 300
    return message


NESTED = {
    "lists": b"[" * DEEP + b"]" * DEEP,
    "lists that never end": b"[" * DEEP,
    "objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "objects that never end": b'{"a":' * DEEP,
    "a field of ours": CHAT % (b"[" * DEEP + b"]" * DEEP, b"1"),
    "a field nobody knows": CHAT % (b'"Hi"', b"[" * DEEP + b"]" * DEEP),
    "a field nobody knows, one too deep": CHAT % (b'"Hi"', b"[" * 100 + b"]" * 100),
    "near where decoders give up": CHAT % (b'"Hi"', b"[" * 900 + b"]" * 900),
}


@pytest.mark.parametrize("body", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("path", PATHS)
async def test_nesting_beyond_the_limit_is_refused(stack: Stack, path: str, body: bytes):
    assert "nested deeper than 100 levels" in await refusal(stack, body, path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is empty"),
        (b"\xef\xbb\xbf", "the body is empty"),
        (b" \r\n ", "the body is empty"),
        (b"null", "the body is null; send a JSON object"),
        (b"[{}]", "the body is a list; send a JSON object"),
        (b'"Hi"', "send a JSON object"),
        (b"model=auto&prompt=Hi", "not valid JSON"),
        (CHAT % (b'"Hi"', b"NaN"), "not valid JSON"),
        (CHAT % (b'"Hi"', b"-Infinity"), "not valid JSON"),
        (CHAT % (b'"Hi"', b"1e400"), "number out of range"),
        (CHAT % (b'"Hi"', b"9" * 5000), "integer value out of range"),
        (CHAT % (b'"Hi"', b"01"), "not valid JSON"),
        (CHAT % (b'"Hi"', b"'x'"), "not valid JSON"),
        (CHAT % (b'"Hi"', b"1,"), "not valid JSON"),
        (CHAT % (b'"\\ud83d"', b"1"), "not valid JSON"),
        (CHAT % (b'"\xff"', b"1"), "not valid UTF-8"),
        (CHAT % (b'"\xed\xa0\xbd"', b"1"), "not valid UTF-8"),
        ((CHAT % (b'"Hi"', b"1")).decode().encode("utf-16"), "not valid JSON"),
        (CHAT % (b'"Hi"', b"1") + b"{}", "not valid JSON"),
        (CHAT % (b'"Hi"', b"1\x00"), "not valid JSON"),
    ],
)
async def test_what_is_no_json_is_told_with_what_is_wrong(stack: Stack, body: bytes, words: str):
    assert words in await refusal(stack, body)


async def test_a_form_is_no_json(stack: Stack):
    form = aiohttp.FormData({"model": "auto"})
    form.add_field("file", b"abc", filename="a.txt")
    async with stack.http.post(stack.url + PATHS[0], data=form) as reply:
        assert reply.status == 400
        assert "not valid JSON" in (await reply.json())["error"]["message"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
async def test_json_is_read_whatever_it_is_called(stack: Stack, kind: str):
    body = io.BytesIO(b"\xef\xbb\xbf" + CHAT % (b'"Hi"', b"1"))
    headers = {"content-type": kind}
    async with stack.http.post(stack.url + PATHS[0], data=body, headers=headers) as reply:
        assert reply.status == 200


async def test_a_deep_argument_of_a_call_is_text_like_any_other(stack: Stack):
    arguments = "[" * DEEP
    function = {"name": "f", "arguments": arguments}
    said = {"role": "assistant", "tool_calls": [{"id": "c", "function": function}]}
    async with stack.chat(messages=[said]) as reply:
        assert reply.status == 200
    assert stack.router.calls[0].messages[0].tool_calls[0].function.arguments == arguments


ASKED = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("arguments", ["[" * DEEP, '{"a":' + "[" * 950 + "]" * 950 + "}"])
async def test_deep_arguments_in_an_answer_are_no_fault_of_ours(
    stack: Stack, path: str, arguments: str
):
    stack.router.answer = whole()
    function = FunctionCall(name="f", arguments=arguments)
    [choice] = stack.router.answer.completion.choices
    choice.message.tool_calls.append(ToolCall(id="c", type="function", function=function))
    async with stack.http.post(stack.url + path, json={"model": "auto"} | ASKED) as reply:
        assert reply.status == 200
        assert "[" * 950 in await reply.text()


CUSTOM = {"input": "Hi", "tools": [{"type": "custom", "name": "f"}]}


@pytest.mark.parametrize("stream", [False, True])
async def test_deep_arguments_of_a_custom_tool_are_its_text(stack: Stack, stream: bool):
    arguments = '{"input":' + "[" * 950 + "]" * 950 + "}"
    stack.router.answer = whole()
    function = FunctionCall(name="f", arguments=arguments)
    [choice] = stack.router.answer.completion.choices
    choice.message.tool_calls.append(ToolCall(id="c", type="function", function=function))
    call = ToolCallDelta(id="c", type="function", name="f", arguments=arguments)
    stack.router.steps = [[started(), delta(tool_calls=[call]), finish("tool_calls"), completed()]]
    body = {"model": "auto", "stream": stream} | CUSTOM
    async with stack.http.post(f"{stack.url}/v1/responses", json=body) as reply:
        assert reply.status == 200
        answer = await reply.text()
    assert "custom_tool_call" in answer
    assert "[" * 950 in answer
    assert "server_error" not in answer


async def test_a_deep_user_id_is_a_users_id_like_any_other(stack: Stack):
    body = {"model": "auto", "metadata": {"user_id": '{"a":' * DEEP}} | ASKED
    async with stack.http.post(f"{stack.url}/v1/messages", json=body) as reply:
        assert reply.status == 200
