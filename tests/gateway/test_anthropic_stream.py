"""Any answer becomes a stream of events that Anthropic's client reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic_input import tool_input
from gateway.dialects.anthropic_stream import AnthropicStreamEncoder
from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.chat_pb2 import ChatEvent, ToolCallDelta
from svckit.errors import ServiceError
from tests.gateway.answers_drawn import TEXT, Drawn, answers, in_batches
from tests.gateway.anthropic_rules import accumulated, check_order, events_of
from tests.gateway.scripted import completed, delta, finish, started, waiting


def encoded(batches: Sequence[Sequence[ChatEvent]], *stops: str) -> list[dict[str, Any]]:
    encoder = AnthropicStreamEncoder("r1", stops)
    raw = b"".join(encoder.encode(batch) for batch in batches)
    assert encoder.finished
    return events_of(raw)


def message_of(*events: ChatEvent, reason: str = "stop", **last: Any) -> Message:
    written = encoded([[started(), *events, finish(reason), completed(**last)]])
    check_order(written)
    return accumulated(written)


def piece(index: int, arguments: str, name: str = "") -> ChatEvent:
    call = ToolCallDelta(index=index, arguments=arguments, name=name)
    if name:
        call.id, call.type = f"call_{index}", "function"
    return delta(tool_calls=[call])


def blocks(message: Message) -> list[tuple[str, Any]]:
    """Return the kind of each block, and what it says."""
    return [
        (block.type, getattr(block, {"tool_use": "input"}.get(block.type, block.type)))
        for block in message.content
    ]


def test_an_answer_with_all_kinds_of_blocks() -> None:
    message = message_of(
        delta(reasoning="Hm"),
        delta(reasoning="m."),
        delta("I "),
        delta("look."),
        piece(0, '{"city"', "weather"),
        piece(0, ': "Oslo"}'),
        piece(1, "", "time"),
        reason="tool_calls",
        usage=Usage(
            prompt_tokens=10,
            completion_tokens=4,
            cached_tokens=6,
            cache_write_tokens=1,
            reasoning_tokens=2,
        ),
    )
    assert blocks(message) == [
        ("thinking", "Hmm."),
        ("text", "I look."),
        ("tool_use", {"city": "Oslo"}),
        ("tool_use", {}),
    ]
    assert (message.id, message.model, message.stop_reason) == ("msg_1", "qwen3:8b", "tool_use")
    assert (message.content[2].id, message.content[2].name) == ("call_0", "weather")
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (3, 6)
    assert (usage.cache_creation_input_tokens, usage.output_tokens) == (1, 4)
    assert usage.output_tokens_details.thinking_tokens == 2


def test_pieces_go_out_as_they_come() -> None:
    encoder = AnthropicStreamEncoder("r1")
    assert not encoder.begun
    assert encoder.encode([waiting(2)]) == b": waiting, 2 ahead\n\n"
    assert not encoder.begun
    [begin] = events_of(encoder.encode([started()]))
    assert encoder.begun
    assert begin["message"]["usage"]["input_tokens"] == 0
    texts = [events_of(encoder.encode([delta(text)]))[-1]["delta"]["text"] for text in "abc"]
    assert texts == ["a", "b", "c"]
    call = events_of(encoder.encode([piece(0, '{"text": "Once upon', "write")]))
    assert [event["type"] for event in call] == [
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
    ]
    assert call[-1]["delta"]["partial_json"] == '{"text": "Once upon'
    [more] = events_of(encoder.encode([piece(0, " a time")]))
    assert more["delta"]["partial_json"] == " a time"


def test_calls_that_are_written_at_the_same_time_come_one_after_the_other() -> None:
    message = message_of(
        piece(0, '{"a": ', "f"),
        piece(1, '{"b": ', "g"),
        delta("Both."),
        piece(0, "1}"),
        piece(1, "2}"),
        reason="tool_calls",
    )
    assert blocks(message) == [("tool_use", {"a": 1}), ("tool_use", {"b": 2}), ("text", "Both.")]


def test_a_call_that_is_cut_off_can_be_read_and_seen() -> None:
    message = message_of(piece(0, '{"a": "x', "f"), reason="length")
    assert blocks(message) == [("tool_use", {"a": "x", "INVALID_JSON": '{"a": "x'})]
    assert message.stop_reason == "max_tokens"


def test_a_refusal_is_text_and_said_to_be_one() -> None:
    message = message_of(delta(refusal="I will not."))
    assert blocks(message) == [("text", "I will not.")]
    assert message.stop_reason == "refusal"


def test_further_choices_are_left_out() -> None:
    message = message_of(delta("a"), delta("b", index=1), finish("length", index=1))
    assert blocks(message) == [("text", "a")]
    assert message.stop_reason == "end_turn"


def test_the_text_that_ended_the_answer_is_told_where_the_server_tells_it() -> None:
    end = finish("stop", choice_extra_json=b'{"stop_reason":"END"}')
    events = encoded([[started(), delta("a"), end, completed()]], "END")
    assert events[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_what_a_server_says_beside_its_usage_comes_along() -> None:
    last = completed(extra_json=b'{"timings":{"n":1},"error":"no","type":"x"}')
    event = encoded([[started(), finish(), last]])[-2]
    assert (event["timings"], event["type"], "error" in event) == ({"n": 1}, "message_delta", False)


def test_a_failure_is_an_error_event() -> None:
    raw = AnthropicStreamEncoder("r1").fail(ServiceError("UPSTREAM_FAILED", "it died"))
    [event] = events_of(raw)
    assert event == {
        "type": "error",
        "error": {"type": "api_error", "message": "it died"},
        "request_id": "r1",
    }


@given(answers(), st.integers(1, 9))
def test_any_answer_is_read_whole(drawn: Drawn, size: int) -> None:
    written = encoded(in_batches(drawn.events, size))
    check_order(written)
    message = accumulated(written)
    said = [event.delta for event in drawn.events if event.HasField("delta")]
    said = [piece for piece in said if not piece.index]
    found = blocks(message)
    texts = "".join(text for kind, text in found if kind == "text")
    thoughts = "".join(text for kind, text in found if kind == "thinking")
    assert texts == "".join(piece.text + piece.refusal for piece in said)
    assert thoughts == "".join(piece.reasoning for piece in said)
    calls = drawn.calls.get(0, [])
    assert [(c.id, c.name) for c in message.content if c.type == "tool_use"] == [
        (call_id, name) for call_id, name, _ in calls
    ]


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[ChatEvent], list[str]]:
    """Draw calls whose pieces come in any order, among text; return their arguments as well."""
    values = st.dictionaries(TEXT, st.integers() | TEXT | st.lists(TEXT), max_size=3)
    arguments = draw(st.lists(values.map(json.dumps), max_size=4))
    left, begun, events = list(arguments), 0, []
    while any(left) or begun < len(arguments):
        place = draw(st.integers(-1, min(begun, len(arguments) - 1)))
        if place < 0:
            events.append(delta(draw(TEXT), reasoning=draw(st.just("") | TEXT)))
            continue
        size = draw(st.integers(1, 12))
        events.append(piece(place, left[place][:size], f"f{place}" if place == begun else ""))
        left[place] = left[place][size:]
        begun = max(begun, place + 1)
    return events, arguments


@given(interleaved())
def test_calls_keep_their_arguments_in_whatever_order_pieces_come(
    drawn: tuple[list[ChatEvent], list[str]],
) -> None:
    events, arguments = drawn
    message = message_of(*events)
    inputs = [block.input for block in message.content if block.type == "tool_use"]
    assert inputs == [json.loads(text) for text in arguments] == [*map(tool_input, arguments)]
