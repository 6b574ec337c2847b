"""A whole answer, or a refusal, as it comes in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import FunctionCall, ToolCall
from router_svc.backends.reply_json import (
    error_text,
    parse_completion,
    parse_usage,
    upstream_error,
    whole,
)
from router_svc.backends.states.listing import parse_models
from router_svc.model import ServedModel, UpstreamError
from tests.fakes.answers import usage_of


def answer(*choices: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"id": "c1", "created": 7, "model": "m", "choices": choices, **more}).encode()


def saying(text: str | None, *, index: int = 0, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, **more}
    return {"index": index, "message": message, "finish_reason": "stop"}


# -- answers -------------------------------------------------------------------


def test_an_answer_is_read() -> None:
    completion = parse_completion(answer(saying("hi"), usage=usage_of(5, 2)), "asked")
    assert (completion.id, completion.created, completion.model) == ("c1", 7, "m")
    [choice] = completion.choices
    assert (choice.message.role, choice.message.text) == ("assistant", "hi")
    assert (choice.finish_reason, choice.logprobs_json) == ("stop", b"")
    assert completion.usage.total_tokens == 7


def test_what_an_answer_leaves_out_is_filled_in() -> None:
    completion = parse_completion(b'{"created": 7.5, "choices": [{"message": {}}]}', "asked")
    assert completion.id.startswith("chatcmpl-")
    assert (completion.created, completion.model) == (7, "asked")
    assert completion.choices[0].finish_reason == "stop"
    assert not completion.HasField("usage")


def test_choices_are_put_in_order_without_holes() -> None:
    completion = parse_completion(answer(saying("b", index=3), saying("a", index=1)), "m")
    assert [(c.index, c.message.text) for c in completion.choices] == [(0, "a"), (1, "b")]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_read_under_both_names(name: str) -> None:
    message = parse_completion(answer(saying("a", **{name: "why"})), "m").choices[0].message
    assert (message.reasoning, message.text, message.extra_json) == ("why", "a", b"")


def test_tool_calls_are_read_and_get_what_they_lack() -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}, "x": 1},
        {"index": 1, "function": {"name": "g", "arguments": {}}},
    ]
    message = parse_completion(answer(saying(None, tool_calls=calls)), "m").choices[0].message
    first, second = message.tool_calls
    assert first == ToolCall(
        id="c1",
        type="function",
        function=FunctionCall(name="f", arguments="{"),
        extra_json=b'{"x":1}',
    )
    assert second.id.startswith("call_")
    assert (second.type, second.function.arguments, second.extra_json) == ("function", "{}", b"")
    assert message.WhichOneof("content") is None


def test_unknown_fields_are_kept_at_each_level() -> None:
    choice = {**saying("a", in_message=1), "stop_reason": 2, "logprobs": {"content": []}}
    completion = parse_completion(answer(choice, timings={"n": 3}), "m")
    assert json.loads(completion.extra_json) == {"timings": {"n": 3}}
    assert json.loads(completion.choices[0].extra_json) == {"stop_reason": 2}
    assert json.loads(completion.choices[0].logprobs_json) == {"content": []}
    assert json.loads(completion.choices[0].message.extra_json) == {"in_message": 1}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"<html>",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"choices": []}',
        b'{"choices": {}}',
        b'{"choices": [1]}',
        b'{"choices": [{"message": {"refusal": 5}}]}',
        b'{"choices": [{"message": {"tool_calls": 5}}]}',
        b'{"error": {"message": "boom"}, "choices": []}',
    ],
)
def test_what_is_no_answer_is_a_fault_of_the_backend(payload: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        parse_completion(payload, "m")
    assert caught.value.reason == "UPSTREAM_FAILED"
    assert caught.value.try_next


# -- usage ---------------------------------------------------------------------


def test_details_of_usage_are_read_and_all_of_them_kept() -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "cost": 0.01,
    }
    usage = parse_usage({**usage_of(5, 4), **details})
    assert usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 4, 9)
    assert (usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (3, 1, 2)
    assert json.loads(usage.extra_json) == details


def test_what_usage_does_not_say_is_unset_and_not_zero() -> None:
    usage = parse_usage({"prompt_tokens": 5, "completion_tokens": None, "total_tokens": "9"})
    assert usage
    assert usage.prompt_tokens == 5
    assert not usage.HasField("completion_tokens")
    assert not usage.HasField("total_tokens")
    assert not usage.HasField("cached_tokens")


@pytest.mark.parametrize("body", [None, [], "many", 5])
def test_usage_that_is_no_object_is_none(body: object) -> None:
    assert parse_usage(body) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        (7.9, 7),
        (-1, -1),
        (None, None),
        ("7", None),
        ([], None),
        (2**63, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_a_number_is_read_however_it_is_written(value: object, number: int | None) -> None:
    assert whole(value) == number


# -- refusals ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b'{"error": {"message": "bad key", "type": "x", "code": "y"}}', "bad key"),
        (b'{"error": {"code": 500, "message": "no image input", "type": "s"}}', "no image input"),
        (b'{"object": "error", "message": "too long", "code": 40303}', "too long"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"detail": [{"loc": ["body", "n"]}]}', '[{"loc":["body","n"]}]'),
        (b'{"error": "model not found"}', "model not found"),
        (b'"plain text as JSON"', "plain text as JSON"),
        (b"<html>Bad Gateway</html>\n", "<html>Bad Gateway</html>"),
        (b"\xff\xfe", "��"),
        (b"", "no message"),
    ],
    ids=["openai", "llama", "vllm", "fastapi", "pydantic", "ollama", "text", "html", "junk", "-"],
)
def test_the_message_is_found_in_every_shape(payload: bytes, text: str) -> None:
    assert error_text(payload) == text


def test_a_long_page_is_cut() -> None:
    assert len(error_text(b"<p>" * 10_000)) == 300


@pytest.mark.parametrize(
    ("status", "reason", "try_next"),
    [
        (400, "UPSTREAM_REJECTED", False),
        (413, "UPSTREAM_REJECTED", False),
        (415, "UPSTREAM_REJECTED", False),
        (422, "UPSTREAM_REJECTED", False),
        (401, "UPSTREAM_FAILED", True),
        (404, "UPSTREAM_FAILED", True),
        (408, "RATE_LIMITED", True),
        (429, "RATE_LIMITED", True),
        (500, "UPSTREAM_FAILED", True),
        (502, "UPSTREAM_FAILED", True),
        (503, "UPSTREAM_FAILED", True),
    ],
)
def test_what_a_status_means(status: int, reason: str, try_next: bool) -> None:
    error = upstream_error(status, b'{"error": {"message": "because"}}')
    assert (error.reason, error.status, error.try_next) == (reason, status, try_next)
    assert "because" in error.message


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (
            400,
            b'{"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long"}}',
        ),
        (400, b'{"error": {"message": "x", "code": "context_length_exceeded"}}'),
        (400, b'{"object": "error", "message": "maximum context length is 4096 tokens"}'),
        (500, b'{"error": "input length exceeds the context window"}'),
        (422, b'{"detail": "prompt exceeds the available context size"}'),
    ],
)
def test_a_prompt_that_is_too_long_is_told_apart(status: int, payload: bytes) -> None:
    error = upstream_error(status, payload)
    assert (error.reason, error.try_next) == ("CONTEXT_LENGTH_EXCEEDED", True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), (None, None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-3", None)],
)
def test_when_to_come_back_is_read(header: str | None, seconds: float | None) -> None:
    assert upstream_error(429, b"{}", header).retry_after_seconds == seconds


# -- models --------------------------------------------------------------------


def test_models_are_read_with_the_window_each_server_names_its_own_way() -> None:
    body = {
        "data": [
            {"id": "a", "created": 7.5, "context_length": 4096},
            {"id": "b", "created": None, "max_model_len": 8192},
            {"id": "c", "meta": {"n_ctx": 1024}},
            {"id": "d", "meta": None},
        ]
    }
    models = parse_models(body)
    assert [(m.id, m.created, m.context_length) for m in models] == [
        ("a", 7, 4096),
        ("b", 0, 8192),
        ("c", 0, 1024),
        ("d", 0, None),
    ]
    assert models[1].extra == {"max_model_len": 8192}


@pytest.mark.parametrize(
    ("body", "models"),
    [
        ({}, ()),
        ({"data": None}, ()),
        ({"data": {"id": "a"}}, ()),
        ({"data": [1, None, {}, {"id": ""}]}, ()),
        (
            {"data": [{"id": "a", "created": "2024-01-01", "context_length": "4k"}]},
            (ServedModel(id="a", extra={"context_length": "4k"}),),
        ),
        (
            {"data": [{"id": "a", "created": 2**70, "context_length": 2**31}]},
            (ServedModel(id="a", extra={"context_length": 2**31}),),
        ),
    ],
)
def test_a_list_of_another_shape_gives_what_can_be_read(
    body: dict[str, Any], models: tuple[ServedModel, ...]
) -> None:
    assert parse_models(body) == models
