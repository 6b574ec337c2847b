"""Ollama by its native API: what becomes of its answers, and the window they are given."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall
from lair.router.v1.input_pb2 import TextInput
from router_svc.model import UpstreamError
from tests.fakes.answers import reply
from tests.fakes.ollama_server import CUT, details, ends, installed, lines, ollama_server, says
from tests.fakes.openai_server import OpenAIServer
from tests.router.ollama_backend import QWEN, backend, said
from tests.router.streams import deltas, finishes


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with ollama_server(installed(QWEN)) as running:
        yield running


async def test_lines_become_events(server: OpenAIServer) -> None:
    server.script(lines(says(thinking="hm"), says("Hel"), says("lo"), ends()))
    async with backend(server) as made:
        events = await said(made)
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds == ["started", *["delta"] * 3, "finish", "completed"]
    assert (events[0].started.model, events[0].started.created) == (QWEN, 1760719627)
    assert [(delta.reasoning, delta.text) for delta in deltas(events)] == [
        ("hm", ""),
        ("", "Hel"),
        ("", "lo"),
    ]
    assert finishes(events) == [(0, "stop")]
    usage = events[-1].completed.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (26, 298, 324)


async def test_what_was_measured_stands_in_the_last_event(server: OpenAIServer) -> None:
    server.script(lines(says("a"), ends()))
    async with backend(server) as made:
        events = await said(made)
    assert json.loads(events[-1].completed.extra_json)["timings"] == {
        "prompt_n": 26,
        "prompt_ms": 130.0,
        "prompt_per_second": 200.0,
        "predicted_n": 298,
        "predicted_ms": 2000.0,
        "predicted_per_second": 149.0,
        "load_ms": 1500.0,
    }


async def test_a_prompt_that_was_cached_whole_leaves_its_tokens_unknown(
    server: OpenAIServer,
) -> None:
    server.script(lines(says("a"), ends(prompt=None)))
    async with backend(server) as made:
        usage = (await said(made))[-1].completed.usage
    assert usage.completion_tokens == 298
    assert not usage.HasField("prompt_tokens")
    assert not usage.HasField("total_tokens")


async def test_calls_are_numbered_and_end_as_calls(server: OpenAIServer) -> None:
    first = {"function": {"name": "f", "arguments": {"city": "Oslo"}}}
    second = {"id": "c2", "function": {"index": 1, "name": "g", "arguments": {}}}
    server.script(lines(says(tool_calls=[first]), says(tool_calls=[second]), ends()))
    async with backend(server) as made:
        events = await said(made)
    pieces = [piece for delta in deltas(events) for piece in delta.tool_calls]
    assert [(p.index, p.name, p.arguments) for p in pieces] == [
        (0, "f", '{"city":"Oslo"}'),
        (1, "g", "{}"),
    ]
    assert pieces[0].id.startswith("call_")
    assert pieces[1].id == "c2"
    assert finishes(events) == [(0, "tool_calls")]


@pytest.mark.parametrize(("told", "reason"), [("length", "length"), ("load", "stop"), ("", "stop")])
async def test_why_an_answer_ended(server: OpenAIServer, told: str, reason: str) -> None:
    server.script(lines(says("a"), ends(told)))
    async with backend(server) as made:
        assert finishes(await said(made)) == [(0, reason)]


async def test_probabilities_are_kept_in_openais_shape(server: OpenAIServer) -> None:
    one = {"token": "a", "logprob": -0.1}
    server.script(lines({**says("a"), "logprobs": [one]}, ends()))
    async with backend(server) as made:
        [delta] = deltas(await said(made))
    assert json.loads(delta.logprobs_json) == {"content": [one]}


async def test_a_whole_answer_is_put_together(server: OpenAIServer) -> None:
    server.script(lines(says(thinking="hm"), says("Hello"), ends()))
    async with backend(server) as made:
        completion = await made.chat(ChatCall(messages=[Message(role="user", text="hi")]), QWEN)
    [choice] = completion.choices
    assert (choice.message.text, choice.message.reasoning) == ("Hello", "hm")
    assert (choice.finish_reason, completion.usage.total_tokens) == ("stop", 324)


async def test_a_think_tag_can_be_split_off(server: OpenAIServer) -> None:
    server.script(lines(says("<think>hm</th"), says("ink>Hello"), ends()))
    async with backend(server, split_think=True) as made:
        events = await said(made)
    assert "".join(delta.reasoning for delta in deltas(events)) == "hm"
    assert "".join(delta.text for delta in deltas(events)) == "Hello"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((says("a"), {"error": "out of memory"}), "out of memory"),
        (({"error": "model runner stopped"},), "model runner stopped"),
        ((says("a"),), "ended in the middle"),
        ((), "ended in the middle"),
        ((says("a"), CUT), "broke off"),
        ((b"{\n",), "invalid JSON"),
        ((b'{"message": 5}\n',), "unknown shape"),
        ((b'{"message": {"tool_calls": [5]}}\n',), "unknown shape"),
        ((b'{"message": {"content": 5}}\n',), "unknown shape"),
    ],
    ids=["error", "error first", "no end", "nothing", "cut", "junk", "odd", "odd call", "odd text"],
)
async def test_an_answer_that_breaks_off_is_a_failure(
    server: OpenAIServer, steps: Any, message: str
) -> None:
    server.script(lines(*steps))
    async with backend(server) as made:
        with pytest.raises(UpstreamError, match=message) as caught:
            await said(made)
    assert (caught.value.reason, caught.value.try_next) == ("UPSTREAM_FAILED", True)


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (404, "model 'x' not found, try pulling it first", "UPSTREAM_FAILED"),
        (400, f"registry/{QWEN} does not support tools", "UPSTREAM_REJECTED"),
        (503, "server busy, please try again", "UPSTREAM_FAILED"),
        (500, "the input length exceeds the context length", "CONTEXT_LENGTH_EXCEEDED"),
    ],
)
async def test_a_refusal_is_told_with_its_text(
    server: OpenAIServer, status: int, text: str, reason: str
) -> None:
    server.script(reply({"error": text}, status))
    async with backend(server) as made:
        with pytest.raises(UpstreamError) as caught:
            await said(made)
    assert (caught.value.reason, caught.value.status) == (reason, status)
    assert caught.value.try_next
    assert text in caught.value.message


# -- the window ----------------------------------------------------------------


async def test_a_long_prompt_is_given_its_window_which_stays() -> None:
    shown = {QWEN: details(40960, "completion")}
    async with ollama_server(installed(QWEN), shown=shown) as server, backend(server) as made:
        server.script(lines(says("a"), ends()))
        await said(made)
        await said(made, messages=[Message(role="user", text="word " * 6000)])
        await made.probe()  # it loads the model just now, and does not list it
        await said(made)
    windows = [received.body["options"].get("num_ctx") for received in server.received]
    assert windows == [None, 16384, 16384]


async def test_the_window_in_force_is_asked_for_again() -> None:
    server = ollama_server(installed(QWEN), loaded={QWEN: 12288})
    async with server, backend(server, keep_alive="30m") as made:
        server.script(lines(says("a"), ends()))
        await said(made)
    [received] = server.received
    assert received.body["options"]["num_ctx"] == 12288
    assert received.body["keep_alive"] == "30m"


async def test_the_configured_window_is_asked_for() -> None:
    async with ollama_server(installed(QWEN)) as server, backend(server, context=6000) as made:
        server.script(lines(says("a"), ends()))
        await said(made)
    assert server.received[0].body["options"]["num_ctx"] == 6000


# -- plain texts ---------------------------------------------------------------


async def test_vectors_and_texts_are_asked_for_below_v1(server: OpenAIServer) -> None:
    vectors = reply({"model": QWEN, "data": [{"index": 0, "embedding": [0.5, 1.0]}]})
    choice = {"index": 0, "text": "lo", "finish_reason": "stop"}
    text = reply({"id": "c", "created": 1, "model": QWEN, "choices": [choice]})
    server.script(vectors, text)
    async with backend(server) as made:
        made_of = await made.embed(EmbeddingCall(inputs=[TextInput(text="hi")]), QWEN)
        completed = await made.complete(CompletionCall(prompts=[TextInput(text="Hel")]), QWEN)
    assert [len(found.float32_values) for found in made_of.embeddings] == [8]
    assert completed.choices[0].message.text == "lo"
    assert [received.path for received in server.received] == ["/v1/embeddings", "/v1/completions"]
