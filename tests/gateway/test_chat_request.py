"""Bodies of chat requests: what is taken, what is kept, what is refused and how."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.chat_request import parse_chat_request
from lair.router.v1.chat_pb2 import ChatCall
from svckit.errors import ServiceError
from tests.gateway.requests_drawn import JSON

USER = {"role": "user", "content": "Hi"}


def parse(**fields: Any) -> ChatCall:
    return parse_chat_request(json.dumps({"messages": [USER]} | fields).encode()).call


def refusal(body: bytes) -> ServiceError:
    with pytest.raises(ServiceError) as raised:
        parse_chat_request(body)
    return raised.value


def test_typed_fields_are_taken():
    call = parse(
        model="qwen3",
        temperature=0.5,
        top_p=1,
        max_tokens=0,
        max_completion_tokens=-1,
        n=2,
        seed=-7,
        stop=["a", "b"],
        parallel_tool_calls=False,
        reasoning_effort="low",
        tool_choice={"type": "function", "function": {"name": "f"}},
        response_format={"type": "json_object"},
    )
    assert (call.model, call.temperature, call.top_p, call.n, call.seed) == ("qwen3", 0.5, 1, 2, -7)
    assert (call.max_tokens, call.max_completion_tokens) == (0, -1)
    assert call.HasField("max_tokens")
    assert list(call.stop) == ["a", "b"]
    assert call.parallel_tool_calls is False
    assert call.reasoning_effort == "low"
    assert json.loads(call.tool_choice_json)["function"] == {"name": "f"}
    assert call.response_format_json == b'{"type":"json_object"}'
    assert call.extra_json == b""


@pytest.mark.parametrize(
    "inexact",
    [
        {"stop": "one"},
        {"stop": None},
        {"stop": []},
        {"temperature": None},
        {"tools": []},
        {"tool_choice": None},
        {"seed": None},
        {"user": "u-1"},
        {"metadata": {"a": [1, None, {"b": 2**70}]}},
    ],
)
def test_what_no_typed_field_can_carry_stays_in_extra(inexact):
    assert json.loads(parse(**inexact).extra_json) == inexact


def test_message_fields_that_are_null_or_empty_stay_in_extra():
    message = {"role": "assistant", "content": None, "tool_calls": [], "refusal": None}
    parsed = parse(messages=[message]).messages[0]
    assert parsed.WhichOneof("content") is None
    assert json.loads(parsed.extra_json) == {"content": None, "tool_calls": [], "refusal": None}


@pytest.mark.parametrize(
    ("fields", "stream", "usage"),
    [
        ({}, False, False),
        ({"stream": None, "stream_options": None}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
        ({"stream": False, "stream_options": {"include_usage": True}}, False, True),
        ({"stream_options": {"include_obfuscation": True}}, False, False),
    ],
)
def test_stream_and_its_options_belong_to_the_dialect(fields, stream, usage):
    body = parse_chat_request(json.dumps({"messages": [USER]} | fields).encode())
    assert (body.stream, body.include_usage) == (stream, usage)
    assert body.call.extra_json == b""


IMAGE = {"type": "image_url", "image_url": {"detail": "low"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {}}}


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"temperature": 3}, "temperature", "temperature is 3; send a number from 0 to 2"),
        ({"temperature": "hot"}, "temperature", 'temperature is "hot"'),
        ({"temperature": True}, "temperature", "temperature is true"),
        ({"top_p": -0.1}, "top_p", "from 0 to 1"),
        ({"n": 0}, "n", "an integer from 1 to 128"),
        ({"n": 1.5}, "n", "n is 1.5"),
        ({"max_tokens": 2**63}, "max_tokens", "at least -1"),
        ({"seed": 2**63}, "seed", "64 bits"),
        ({"stop": ["a"] * 5}, "stop", "a list of 5"),
        ({"stop": ["a", 1]}, "stop[1]", "stop[1] is 1; send a string"),
        ({"stop": 1}, "stop", "a string or a list"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream_options": []}, "stream_options", "an empty list; send an object"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "is 1"),
        ({"model": 5}, "model", "a model's name"),
        ({"messages": []}, "messages", "an empty list"),
        ({"messages": None}, "messages", "messages is null"),
        ({"messages": "Hi"}, "messages", 'messages is "Hi"; send a list'),
        ({"messages": ["Hi"]}, "messages[0]", "send an object"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "is missing; send one of system"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role", '"robot"; send one of system'),
        ({"messages": [USER, {"role": "user"}]}, "messages[1].content", "is missing"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content", "list of parts"),
        ({"messages": [USER | {"name": 1}]}, "messages[0].name", "a string"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "is missing",
        ),
        (
            {"messages": [{"role": "user", "content": [IMAGE]}]},
            "messages[0].content[0].image_url.url",
            "is missing",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [CALL]}]},
            "messages[0].tool_calls[0].function.arguments",
            "JSON in a string",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "is missing"),
        ({"tools": [{"function": {"name": "f"}}]}, "tools[0].type", "is missing"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
            "tools[0].function.parameters",
            "an object",
        ),
        ({"tool_choice": "maybe"}, "tool_choice", '"maybe"; send "none"'),
        ({"response_format": {}}, "response_format.type", "json_schema"),
    ],
)
def test_a_bad_field_is_named_with_what_was_sent_and_what_to_send(fields, param, words):
    error = refusal(json.dumps({"messages": [USER]} | fields).encode())
    assert error.reason == "INVALID_FIELD"
    assert error.metadata["field"] == param
    assert words in error.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"[]", "an empty list; send a JSON object"),
        (b'"x"', '"x"; send a JSON object'),
        (b'{"a": 1,\n  "b": }', "invalid character at line 2, column 8"),
        (b'{"a": 1', "truncated at line 1, column 8"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": Infinity}', "not valid JSON"),
        (b'{"a": 1e999}', "number out of range"),
        (b'{"a": ' + b"9" * 5000 + b"}", "integer value out of range"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b'{"a": "\\udc00x"}', "surrogate"),
        (b'{"a": "\xed\xa0\x80"}', "not valid UTF-8"),
        (b'{"a": ' + b"[" * 101 + b"]" * 101 + b"}", "deeper than 100"),
        (b"[" * 100_000, "deeper than 100"),
    ],
)
def test_a_broken_body_is_told_where_it_breaks(body, words):
    error = refusal(body)
    assert error.reason == "INVALID_BODY"
    assert words in error.message


def test_nesting_up_to_the_limit_and_a_byte_order_mark_are_taken():
    nested = b"[" * 98 + b"]" * 98
    body = b'\xef\xbb\xbf{"messages": [{"role": "user", "content": ""}], "a": ' + nested + b"}"
    assert parse_chat_request(body).call.extra_json == b'{"a":' + nested + b"}"


@given(st.dictionaries(st.sampled_from(["messages", "tools", "stop", "model", "n"]), JSON))
def test_any_json_without_a_message_is_refused_by_name(value):
    value["messages"] = [value.get("messages")]
    assert refusal(json.dumps(value).encode()).metadata["field"]


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_refused(body):
    assert refusal(body).reason in ("INVALID_BODY", "INVALID_FIELD")
