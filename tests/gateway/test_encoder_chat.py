"""No chat stream of ours holds what official clients fail at, whatever the answer.

Facts of the wire, sections 1.3 and 1.4. The exact bytes are in `test_chat_stream.py`.
"""

from __future__ import annotations

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import sse
from gateway.dialects.chat_stream import ChatStreamEncoder
from lair.router.v1.chat_pb2 import ToolCallDelta
from svckit.errors import ServiceError
from tests.gateway.answers_drawn import Drawn, answers, in_batches
from tests.gateway.scripted import completed, delta, finish, started
from tests.gateway.wire_rules import (
    chat_by_openai,
    check_chat_choices,
    check_chunks,
    chunks_by_openai,
    chunks_of,
)

SIZES = st.sampled_from([1, 7, 4096])


def encoded(drawn: Drawn, *, include_usage: bool = True, batch: int = 3) -> bytes:
    """Write an answer as the gateway does: message by message, with signs of life between."""
    encoder = ChatStreamEncoder(include_usage=include_usage)
    pieces = [encoder.encode(events) for events in in_batches(drawn.events, batch)]
    assert encoder.finished
    return sse.KEEP_ALIVE.join(pieces)


@given(answers(), st.booleans(), st.integers(1, 9))
def test_the_bytes_keep_every_rule(drawn: Drawn, include_usage, batch):
    chunks = chunks_of(encoded(drawn, include_usage=include_usage, batch=batch))
    check_chunks(chunks, "chat.completion.chunk", include_usage=include_usage)
    check_chat_choices(chunks)
    ends = [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]]
    assert [reason for reason in ends if reason] == drawn.reasons


@settings(deadline=None)  # the judge's client takes its time at first
@given(answers(), st.integers(1, 9), SIZES)
def test_the_official_helper_adds_up_what_was_said(drawn: Drawn, batch, size):
    answer = chat_by_openai(encoded(drawn, batch=batch), size)
    assert [choice.finish_reason for choice in answer.choices] == drawn.reasons
    for index, choice in enumerate(answer.choices):
        message = choice.message
        assert message.role == "assistant"
        assert message.content == drawn.text.get(index, "")
        assert (message.refusal or "") == drawn.refusal.get(index, "")
        reasoning = drawn.reasoning.get(index, "")
        assert getattr(message, "reasoning", "") == reasoning
        assert getattr(message, "reasoning_content", "") == reasoning
        calls = [[c.id, c.function.name, c.function.arguments] for c in message.tool_calls or ()]
        assert calls == drawn.calls.get(index, [])
    told = answer.usage and (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    known = drawn.usage and (drawn.usage.prompt_tokens, drawn.usage.completion_tokens)
    assert told == known


@settings(deadline=None)
@given(answers(), SIZES)
def test_a_failure_in_the_middle_is_an_error_with_its_words_and_no_end(drawn: Drawn, size):
    encoder = ChatStreamEncoder(include_usage=False)
    raw = encoder.encode(drawn.events[:-1]) + encoder.fail(ServiceError("UPSTREAM_FAILED", "gone"))
    *chunks, last = chunks_of(raw, ended=False)
    check_chat_choices(chunks)
    assert last.keys() == {"error"}
    assert last["error"].keys() == {"message", "type", "param", "code"}
    with pytest.raises(openai.APIError, match="gone"):
        chat_by_openai(raw, size)


def test_padding_against_listeners_is_never_passed_on():
    padded = delta("a", chunk_extra_json=b'{"obfuscation": "xK3", "x_vendor": 1}')
    ended = finish(chunk_extra_json=b'{"obfuscation": "p"}')
    encoder = ChatStreamEncoder(include_usage=True)
    raw = encoder.encode([started(), padded, ended, completed(extra_json=b'{"obfuscation": ""}')])
    assert b"obfuscation" not in raw
    assert chunks_of(raw)[1]["x_vendor"] == 1


def test_an_old_style_function_call_is_passed_on():
    pieces = [
        delta(extra_json=b'{"function_call": {"name": "f", "arguments": ""}}'),
        delta(extra_json=b'{"function_call": {"arguments": "{}"}}'),
    ]
    raw = ChatStreamEncoder(include_usage=False).encode(
        [started(), *pieces, finish("function_call"), completed()]
    )
    [choice] = chat_by_openai(raw, 7).choices
    assert choice.message.function_call.name == "f"
    assert choice.message.function_call.arguments == "{}"


def test_a_call_of_another_kind_is_told_in_its_own_words():
    pieces = [
        ToolCallDelta(index=0, id="c", type="custom", extra_json=b'{"custom": {"name": "sql"}}'),
        ToolCallDelta(index=0, extra_json=b'{"custom": {"input": "select 1"}}'),
    ]
    raw = ChatStreamEncoder(include_usage=False).encode(
        [started(), *(delta(tool_calls=[piece]) for piece in pieces)]
    )
    assert [
        chunk["choices"][0]["delta"]["tool_calls"] for chunk in chunks_of(raw, ended=False)[1:]
    ] == [
        [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "sql"}}],
        [{"index": 0, "custom": {"input": "select 1"}}],
    ]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_no_text_breaks_an_event_into_lines(mark):
    raw = ChatStreamEncoder(include_usage=False).encode([started(), delta(f"a{mark}b")])
    # As readers do that split by Unicode's lines: httpx, `str.splitlines`.
    lines = [line for line in raw.decode().splitlines() if line]
    assert all(line.startswith("data: {") for line in lines)
    said = chunks_by_openai(raw, 4096)[1]
    assert said.choices[0].delta.content == f"a{mark}b"
