"""Whole answers: every key the OpenAI schema requires, and nothing lost."""

from __future__ import annotations

import json

from gateway.dialects.chat_response import completion_json
from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall, Usage
from lair.router.v1.chat_pb2 import ChatCompletion, Choice


def completion(message: Message, **kwargs) -> ChatCompletion:
    choice = Choice(index=0, message=message, finish_reason="stop")
    return ChatCompletion(id="chatcmpl-1", created=7, model="m", choices=[choice], **kwargs)


def test_a_plain_answer_has_every_required_key():
    answer = completion(Message(role="assistant", text="Hello"))
    assert json.loads(completion_json(answer)) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }


def test_tool_calls_come_with_null_content():
    call = ToolCall(id="c1", type="function", function=FunctionCall(name="f", arguments='{"a":1}'))
    answer = completion(Message(role="assistant", tool_calls=[call]))
    message = json.loads(completion_json(answer))["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ]


def test_reasoning_goes_by_both_names():
    answer = completion(Message(role="assistant", text="4", reasoning="2+2"))
    message = json.loads(completion_json(answer))["choices"][0]["message"]
    assert message["reasoning_content"] == message["reasoning"] == "2+2"


def test_usage_has_a_total_and_its_details_merged_with_the_backends_own():
    usage = Usage(
        prompt_tokens=10,
        completion_tokens=5,
        cached_tokens=4,
        reasoning_tokens=2,
        extra_json=b'{"cost": 0.1, "prompt_tokens_details": {"audio_tokens": 0}}',
    )
    answer = completion(Message(role="assistant", text=""), usage=usage)
    assert json.loads(completion_json(answer))["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "cost": 0.1,
    }


def test_vendor_fields_return_to_their_level_and_never_replace_ours():
    choice = Choice(
        message=Message(role="assistant", text="x", extra_json=b'{"annotations": []}'),
        finish_reason="length",
        logprobs_json=b'{"content": []}',
        extra_json=b'{"stop_reason": 3, "index": 9}',
    )
    answer = ChatCompletion(
        id="chatcmpl-1",
        choices=[choice],
        extra_json=b'{"timings": {"n": 1}, "id": "theirs", "error": "x"}',
    )
    out = json.loads(completion_json(answer))
    assert (out["timings"], out["id"]) == ({"n": 1}, "chatcmpl-1")
    assert "error" not in out
    assert out["choices"][0]["stop_reason"] == 3
    assert out["choices"][0]["index"] == 0
    assert out["choices"][0]["logprobs"] == {"content": [], "refusal": None}
    assert out["choices"][0]["message"]["annotations"] == []
