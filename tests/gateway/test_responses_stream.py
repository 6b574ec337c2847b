"""The events of a response, judged by the official document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.responses_object import Asked
from gateway.dialects.responses_stream import ResponseStreamEncoder
from gateway.dialects.responses_whole import whole_response_json
from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall, Usage
from lair.router.v1.chat_pb2 import ChatCompletion, ChatEvent, Choice, ToolCallDelta
from svckit.errors import ServiceError
from tests.compat import document
from tests.gateway.scripted import completed, delta, finish, started, waiting

REQUEST = "01920000-0000-7000-8000-0000000000ab"
DIGITS = "0192000000007000800000000000" + "00ab"
USAGE = Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1)
LOGPROBS = b'{"content":[{"token":"a","logprob":-0.5,"bytes":null,"top_logprobs":[]}]}'


def asked(**fields: Any) -> Asked:
    return Asked(request_id=REQUEST, shown={}, **fields)


def events_of(raw: bytes) -> list[dict[str, Any]]:
    """Read events as a client does; each must be valid, and numbered without holes."""
    events = []
    for frame in raw.decode().split("\n\n")[:-1]:
        if frame.startswith(":"):
            continue
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert document.judge()("ResponseStreamEvent", event) == []
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def stream(*events: ChatEvent, **fields: Any) -> list[dict[str, Any]]:
    encoder = ResponseStreamEncoder(asked(**fields), model="auto")
    raw = b"".join(encoder.encode([event]) for event in events)
    assert encoder.finished
    return events_of(raw)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def piece(**fields: Any) -> ChatEvent:
    return delta(tool_calls=[ToolCallDelta(**fields)])


def test_a_text_has_the_events_of_the_api_in_their_order():
    events = stream(started(), delta("Hel"), delta("lo"), finish(), completed(usage=USAGE))
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    final = events[-1]["response"]
    assert final["output"][0]["content"][0]["text"] == "Hello"
    assert final["id"] == f"resp_{DIGITS}"
    assert final["usage"]["input_tokens_details"] == {"cached_tokens": 1, "cache_write_tokens": 0}
    assert final["usage"]["total_tokens"] == 5


def test_reasoning_closes_before_the_text_and_the_text_before_calls():
    events = stream(
        started(),
        delta(reasoning="hm"),
        delta("so"),
        piece(index=0, id="c1", type="function", name="f", arguments="{"),
        piece(index=1, id="c2", type="function", name="g", arguments="{}"),
        piece(index=0, arguments="}"),
        finish("tool_calls"),
        completed(),
    )
    assert kinds(events)[2:] == [
        *("output_item.added", "content_part.added", "reasoning_text.delta"),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta"),
        *("output_item.added", "function_call_arguments.delta"),
        "function_call_arguments.delta",
        *("function_call_arguments.done", "output_item.done"),
        *("function_call_arguments.done", "output_item.done"),
        "completed",
    ]
    output = events[-1]["response"]["output"]
    assert [item["id"] for item in output] == [
        f"rs_{DIGITS}",
        f"msg_{DIGITS}",
        f"fc_{DIGITS}_0",
        f"fc_{DIGITS}_1",
    ]
    assert [item["arguments"] for item in output[2:]] == ["{}", "{}"]
    assert [e["output_index"] for e in events if e["type"].endswith("item.done")] == [0, 1, 2, 3]


def test_a_custom_tool_is_called_with_its_text():
    events = stream(
        started(),
        piece(index=0, id="c1", type="function", name="apply_patch", arguments='{"input": "*** B'),
        piece(index=0, arguments='egin\\n"}'),
        finish("tool_calls"),
        completed(),
        custom_tools=frozenset({"apply_patch"}),
    )
    assert kinds(events)[2:] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    assert events[-1]["response"]["output"][0]["input"] == "*** Begin\n"


def test_a_refusal_is_a_part_of_its_own():
    events = stream(started(), delta("I"), delta(refusal="won't"), finish(), completed())
    parts = events[-1]["response"]["output"][0]["content"]
    assert [part["type"] for part in parts] == ["output_text", "refusal"]
    refused = [e for e in events if "refusal" in e["type"]]
    assert [(e["type"], e["content_index"]) for e in refused] == [
        ("response.refusal.delta", 1),
        ("response.refusal.done", 1),
    ]


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
    ],
)
def test_the_end_says_why(reason, status, details):
    events = stream(started(), delta("x"), finish(reason), completed())
    final = events[-1]["response"]
    assert events[-1]["type"] == f"response.{status}"
    assert (final["status"], final["incomplete_details"]) == (status, details)
    assert final["output"][0]["status"] == status


def test_an_answer_without_a_word_is_an_empty_text():
    events = stream(started(), finish(), completed())
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == ""
    assert kinds(events)[3:5] == ["content_part.added", "output_text.done"]


def test_what_resumes_after_it_was_closed_is_a_further_item():
    events = stream(
        started(),
        delta("a"),
        piece(index=0, id="c1", type="function", name="f", arguments="{}"),
        delta("b"),
        finish(),
        completed(),
    )
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message"]
    assert len({item["id"] for item in output}) == 3


def test_other_answers_than_the_first_are_left_out():
    events = stream(
        started(), delta("b", index=1), delta("a"), finish(index=1), finish(), completed()
    )
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "a"


def test_probabilities_stand_at_the_delta_and_at_the_whole():
    events = stream(started(), delta("a", logprobs_json=LOGPROBS), finish(), completed())
    told = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    assert next(e for e in events if e["type"].endswith("text.delta"))["logprobs"] == [told]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == [told]


def test_encrypted_reasoning_is_told_when_it_is_wanted():
    events = stream(started(), delta(reasoning="hm"), finish(), completed(), sealed=True)
    item = events[-1]["response"]["output"][0]
    assert item["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert item["encrypted_content"]
    assert "encrypted_content" not in events[2]["item"]


def test_a_failure_closes_nothing_that_a_client_would_act_on():
    encoder = ResponseStreamEncoder(asked(), model="auto")
    call = piece(index=0, id="c1", type="function", name="f", arguments='{"rm"')
    raw = encoder.encode([started(), delta("x"), call])
    raw += encoder.fail(ServiceError("UPSTREAM_FAILED", "ollama died"))
    events = events_of(raw)
    assert kinds(events)[-2:] == ["failed", "error"]
    failed = events[-2]["response"]
    assert failed["error"] == {"code": "server_error", "message": "ollama died"}
    assert [item["type"] for item in failed["output"]] == ["message"]
    assert "function_call_arguments.done" not in kinds(events)
    assert events[-1]["message"] == "ollama died"


def test_a_failure_before_the_answer_begins_with_a_response():
    encoder = ResponseStreamEncoder(asked(), model="auto")
    raw = encoder.encode([waiting(2)])
    assert raw.startswith(b": waiting")
    assert not encoder.begun
    events = events_of(raw + encoder.fail(ServiceError("RATE_LIMITED", "busy")))
    assert kinds(events) == ["created", "in_progress", "failed", "error"]
    assert events[2]["response"]["error"]["code"] == "rate_limit_exceeded"


def test_the_backends_further_fields_reach_the_client_and_replace_none():
    extra = b'{"timings": {"n": 1}, "error": {"x": 1}, "usage": 5, "user": 7}'
    events = stream(started(), delta("x"), finish(), completed(extra_json=extra))
    final = events[-1]["response"]
    assert final["timings"] == {"n": 1}
    assert final["error"] is None
    assert "usage" not in final


def test_line_ends_of_unicode_do_not_break_events():
    encoder = ResponseStreamEncoder(asked(), model="auto")
    raw = encoder.encode([started(), delta("a\u2028b\x85c"), finish(), completed()])
    assert len(raw.decode().splitlines()) == raw.count(b"\n")


def test_a_stream_and_a_whole_answer_say_the_same():
    calls = [
        ToolCall(id="c1", type="function", function=FunctionCall(name="f", arguments="{}")),
        ToolCall(
            id="c2", type="function", function=FunctionCall(name="p", arguments='{"input":"x"}')
        ),
    ]
    message = Message(role="assistant", reasoning="hm", text="so", tool_calls=calls)
    choice = Choice(message=message, finish_reason="length")
    whole = ChatCompletion(id="c", model="qwen3:8b", choices=[choice], usage=USAGE)
    custom = frozenset({"p"})
    told = json.loads(whole_response_json(asked(custom_tools=custom), whole))
    assert document.judge()("Response", told) == []
    streamed = stream(
        started(),
        delta(reasoning="hm"),
        delta("so"),
        piece(index=0, id="c1", type="function", name="f", arguments="{}"),
        piece(index=1, id="c2", type="function", name="p", arguments='{"input":"x"}'),
        finish("length"),
        completed(usage=USAGE),
        custom_tools=custom,
    )
    assert streamed[-1]["response"] == told
