"""Streamed answers: their exact bytes, and what client libraries trip over."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.chat_stream import ChatStreamEncoder
from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.chat_pb2 import ChatEvent, ToolCallDelta
from svckit.errors import ServiceError
from tests.gateway.scripted import completed, delta, finish, started, waiting


def encode(*events: ChatEvent, include_usage: bool = False) -> bytes:
    return ChatStreamEncoder(include_usage=include_usage).encode(events)


def chunks(*events: ChatEvent, include_usage: bool = False) -> list[dict[str, Any]]:
    """Return the chunks between the start and [DONE]."""
    lines = encode(*events, include_usage=include_usage).decode().split("\n\n")
    assert lines.pop() == ""
    return [json.loads(line.removeprefix("data: ")) for line in lines if line[-6:] != "[DONE]"]


def deltas(*events: ChatEvent) -> list[dict[str, Any]]:
    """Return the deltas after the opening one."""
    return [c["choices"][0]["delta"] for c in chunks(started(), *events) if c["choices"]][1:]


HEAD = '"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"qwen3:8b"'


def test_the_bytes_of_a_short_answer():
    assert encode(started(), delta("Hé\n"), finish(), completed()).decode() == (
        f'data: {{{HEAD},"choices":[{{"index":0,"delta":{{"role":"assistant","content":""}},'
        '"logprobs":null,"finish_reason":null}]}\n\n'
        f'data: {{{HEAD},"choices":[{{"index":0,"delta":{{"content":"Hé\\n"}},'
        '"logprobs":null,"finish_reason":null}]}\n\n'
        f'data: {{{HEAD},"choices":[{{"index":0,"delta":{{}},'
        '"logprobs":null,"finish_reason":"stop"}]}\n\n'
        "data: [DONE]\n\n"
    )


def test_usage_that_was_asked_for_is_null_in_each_chunk_and_comes_once_at_the_end():
    done = completed(usage=Usage(prompt_tokens=3, completion_tokens=1), extra_json=b'{"t": 1}')
    *content, last = chunks(started(), delta("a"), finish(), done, include_usage=True)
    assert [chunk["usage"] for chunk in content] == [None, None, None]
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 4
    assert last["t"] == 1
    assert last["id"] == content[0]["id"]


def test_usage_that_is_not_known_is_null():
    assert chunks(started(), finish(), completed(), include_usage=True)[-1]["usage"] is None


def test_usage_that_was_not_asked_for_is_nowhere():
    done = completed(usage=Usage(prompt_tokens=3))
    answer = chunks(started(), delta("a", chunk_extra_json=b'{"usage": {}}'), finish(), done)
    assert len(answer) == 3
    assert all("usage" not in chunk for chunk in answer)


def test_choices_open_in_ascending_order_even_if_the_backend_begins_with_the_second():
    answer = chunks(started(), delta("b", index=1), delta("a", index=0))
    assert [(c["choices"][0]["index"], c["choices"][0]["delta"]) for c in answer] == [
        (0, {"role": "assistant", "content": ""}),
        (1, {"role": "assistant", "content": ""}),
        (1, {"content": "b"}),
        (0, {"content": "a"}),
    ]


def test_reasoning_goes_by_both_names_in_one_delta():
    assert deltas(delta(reasoning="hm")) == [{"reasoning_content": "hm", "reasoning": "hm"}]


def test_a_tool_call_says_its_id_and_name_once_and_always_its_index():
    begin = ToolCallDelta(index=0, id="c1", type="function", name="f", arguments='{"a"')
    again = ToolCallDelta(index=0, id="c1", type="function", name="f", arguments=":1}")
    other = ToolCallDelta(index=1, id="c2", name="g")
    said = deltas(delta(tool_calls=[begin]), delta(tool_calls=[again, other]))
    assert [d["tool_calls"] for d in said] == [
        [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"a"'}}],
        [
            {"index": 0, "function": {"arguments": ":1}"}},
            {
                "index": 1,
                "id": "c2",
                "type": "function",
                "function": {"name": "g", "arguments": ""},
            },
        ],
    ]


def test_pieces_of_one_call_in_one_delta_keep_their_order():
    first = ToolCallDelta(index=0, id="c1", name="f", arguments="1")
    second = ToolCallDelta(index=0, arguments="2")
    said = deltas(delta(tool_calls=[first, second]))
    arguments = [call["function"]["arguments"] for piece in said for call in piece["tool_calls"]]
    assert arguments == ["", "1", "2"]


def test_vendor_fields_return_to_their_level_and_never_replace_ours():
    piece = delta(
        "x",
        extra_json=b'{"role": "assistant", "annotations": [1]}',
        choice_extra_json=b'{"stop_reason": null, "finish_reason": "stop", "index": 4}',
        chunk_extra_json=b'{"system_fingerprint": "b1", "error": "x", "id": "theirs"}',
        logprobs_json=b'{\n"content": []}',
    )
    opening, chunk = chunks(started(), piece)
    assert chunk["id"] == opening["id"]
    assert chunk["system_fingerprint"] == "b1"
    assert "error" not in chunk
    assert chunk["choices"] == [
        {
            "index": 0,
            "delta": {"content": "x", "annotations": [1]},
            "logprobs": {"content": [], "refusal": None},
            "finish_reason": None,
            "stop_reason": None,
        }
    ]


def test_a_chunk_with_only_refused_vendor_fields_is_still_valid_json():
    piece = delta("x", chunk_extra_json=b'{"error": {"message": "x"}}')
    assert "error" not in chunks(started(), piece)[1]


def test_an_empty_delta_is_not_sent():
    assert deltas(delta("")) == []


def test_waiting_becomes_comments_and_begins_nothing():
    encoder = ChatStreamEncoder(include_usage=False)
    assert encoder.encode([waiting(3)]) == b": waiting, 3 ahead\n\n"
    assert encoder.encode([waiting(0)]) == b": waiting, next in line\n\n"
    assert not encoder.begun


def test_a_failure_is_one_event_with_all_four_keys_and_no_end_mark():
    encoder = ChatStreamEncoder(include_usage=False)
    encoder.encode([started()])
    failure = encoder.fail(ServiceError("UPSTREAM_FAILED", "ollama broke off"))
    assert json.loads(failure.removeprefix(b"data: ")) == {
        "error": {
            "message": "ollama broke off",
            "type": "server_error",
            "param": None,
            "code": "upstream_error",
        }
    }
    assert not encoder.finished


TOOLS = st.lists(
    st.builds(
        ToolCallDelta,
        index=st.integers(0, 1),
        id=st.just("c"),
        name=st.just("f"),
        arguments=st.text(max_size=3),
    ),
    max_size=2,
)
DELTAS = st.builds(
    delta,
    st.text(max_size=4),
    index=st.integers(0, 2),
    reasoning=st.text(max_size=3),
    tool_calls=TOOLS,
    extra_json=st.sampled_from([b"", b'{"role": "assistant"}', b'{"x": "\\n\\n"}']),
    chunk_extra_json=st.sampled_from([b"", b'{"error": true}', b'{"a": 1}']),
)


@given(st.lists(st.lists(DELTAS, max_size=3), max_size=5), st.booleans())
def test_no_stream_holds_what_client_libraries_trip_over(messages, include_usage):
    encoder = ChatStreamEncoder(include_usage=include_usage)
    out = encoder.encode([started()])
    out += b"".join(encoder.encode(events) for events in messages)
    out += encoder.encode([finish(), completed()])
    frames = out.decode().split("\n\n")
    assert frames.pop() == ""
    assert frames.pop() == "data: [DONE]"
    assert all(frame.startswith("data: {") and "\n" not in frame for frame in frames)
    parsed = [json.loads(frame[6:]) for frame in frames]
    assert not any(chunk.get("error") for chunk in parsed)
    choices = [choice for chunk in parsed for choice in chunk["choices"]]
    opened = [c["index"] for c in choices if "role" in c["delta"]]
    assert opened == list(range(len(opened)))
    calls = [(c["index"], t) for c in choices for t in c["delta"].get("tool_calls", ())]
    named = [(index, call["index"]) for index, call in calls if "id" in call]
    assert len(named) == len(set(named))
    for index in opened:
        assert _joined(choices, index) == "".join(
            e.delta.text for events in messages for e in events if e.delta.index == index
        )
        for tool in (0, 1):
            assert _arguments(calls, index, tool) == "".join(
                call.arguments
                for events in messages
                for e in events
                if e.delta.index == index
                for call in e.delta.tool_calls
                if call.index == tool
            )


def _joined(choices: list[dict[str, Any]], index: int) -> str:
    return "".join(c["delta"].get("content", "") for c in choices if c["index"] == index)


def _arguments(calls: list[tuple[int, dict[str, Any]]], index: int, tool: int) -> str:
    return "".join(
        call["function"]["arguments"]
        for choice, call in calls
        if choice == index and call["index"] == tool
    )
