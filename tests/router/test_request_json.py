"""A chat as it goes out: the OpenAI body a backend gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import (
    ContentPart,
    ContentParts,
    FunctionCall,
    ImageUrl,
    Message,
    ToolCall,
)
from lair.router.v1.chat_pb2 import ChatCall, FunctionSpec, Tool
from router_svc.backends.request_json import encode_request


def body_of(call: ChatCall, *, stream: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode_request(call, "tiny", stream=stream))
    return body


def sent(message: Message) -> dict[str, Any]:
    """Return a message as a backend gets it."""
    messages: list[dict[str, Any]] = body_of(ChatCall(messages=[message]))["messages"]
    return messages[0]


def test_the_least_request_holds_model_messages_and_stream() -> None:
    call = ChatCall(model="auto", messages=[Message(role="user", text="hi")])
    assert body_of(call) == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
    }


def test_a_stream_always_asks_for_usage() -> None:
    assert body_of(ChatCall(), stream=True)["stream_options"] == {"include_usage": True}


def test_parameters_that_were_set_go_out_and_zero_is_set() -> None:
    call = ChatCall(
        temperature=0,
        top_p=0.5,
        max_tokens=0,
        max_completion_tokens=7,
        n=2,
        seed=-1,
        parallel_tool_calls=False,
        reasoning_effort="low",
        stop=["a", "b"],
        tool_choice_json=b'"required"',
        response_format_json=b'{"type":"json_object"}',
    )
    body = body_of(call)
    assert {name: body[name] for name in body if name not in ("model", "messages", "stream")} == {
        "temperature": 0,
        "top_p": 0.5,
        "max_tokens": 0,
        "max_completion_tokens": 7,
        "n": 2,
        "seed": -1,
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "stop": ["a", "b"],
        "tool_choice": "required",
        "response_format": {"type": "json_object"},
    }


def test_unknown_parameters_go_out_and_what_lair_answers_itself_does_not() -> None:
    extra = {
        "top_k": 40,
        "chat_template_kwargs": {"enable_thinking": False},
        "store": True,
        "metadata": {"a": "b"},
        "stream_options": {"include_usage": False},
    }
    body = body_of(ChatCall(extra_json=json.dumps(extra).encode()), stream=True)
    assert body["top_k"] == 40
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["stream_options"] == {"include_usage": True}
    assert not body.keys() & {"store", "metadata"}


def test_tools_go_out_with_their_schema_untouched() -> None:
    schema = b'{"type":"object","properties":{"b":{},"a":{"type":["string","null"]}}}'
    spec = FunctionSpec(
        name="f", description="does f", parameters_json=schema, strict=True, extra_json=b'{"x":1}'
    )
    tools = [Tool(function=spec, extra_json=b'{"y":2}'), Tool(type="web_search")]
    raw = encode_request(ChatCall(tools=tools), "tiny", stream=False)
    assert schema in raw
    assert json.loads(raw)["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "does f",
                "parameters": json.loads(schema),
                "strict": True,
                "x": 1,
            },
            "y": 2,
        },
        {"type": "web_search"},
    ]


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (Message(role="system", text=""), {"role": "system", "content": ""}),
        (
            Message(role="user", text="hi", name="ann", extra_json=b'{"cache_control":{"t":1}}'),
            {"role": "user", "content": "hi", "name": "ann", "cache_control": {"t": 1}},
        ),
        (
            Message(role="tool", tool_call_id="c1", text="12"),
            {"role": "tool", "tool_call_id": "c1", "content": "12"},
        ),
        (
            Message(role="assistant", refusal="no"),
            {"role": "assistant", "content": None, "refusal": "no"},
        ),
        (
            Message(role="user", extra_json=b'{"content":null}'),
            {"role": "user", "content": None},
        ),
    ],
)
def test_a_message_goes_out_as_it_came(message: Message, body: dict[str, Any]) -> None:
    assert sent(message) == body


def test_reasoning_that_a_client_sends_back_reaches_the_backend() -> None:
    message = Message(role="assistant", text="a", reasoning="because")
    assert sent(message) == {"role": "assistant", "content": "a", "reasoning_content": "because"}


def test_tool_calls_of_an_earlier_answer_go_out_with_null_content() -> None:
    function = FunctionCall(name="f", arguments="{not json", extra_json=b'{"x":1}')
    call = ToolCall(
        id="c1", type="function", function=function, extra_json=b'{"extra_content":{"s":"t"}}'
    )
    assert sent(Message(role="assistant", tool_calls=[call])) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "f", "arguments": "{not json", "x": 1},
                "extra_content": {"s": "t"},
            }
        ],
    }


def test_parts_go_out_in_order() -> None:
    image = ImageUrl(url="data:image/png;base64,AA==", detail="low", extra_json=b'{"z":1}')
    parts = [
        ContentPart(type="text", text="look"),
        ContentPart(type="image_url", image_url=image),
        ContentPart(type="input_audio", extra_json=b'{"input_audio":{"data":"AA=="}}'),
    ]
    message = Message(role="user", parts=ContentParts(parts=parts))
    assert sent(message)["content"] == [
        {"type": "text", "text": "look"},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,AA==", "detail": "low", "z": 1},
        },
        {"type": "input_audio", "input_audio": {"data": "AA=="}},
    ]
