"""No text stream of ours holds what official clients fail at, whatever the answer."""

from __future__ import annotations

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import sse
from gateway.dialects.completion_stream import CompletionStreamEncoder
from svckit.errors import ServiceError
from tests.gateway.answers_drawn import Drawn, answers, in_batches
from tests.gateway.scripted import completed, delta, finish, started
from tests.gateway.wire_rules import check_chunks, chunks_of, texts_by_openai

SIZES = st.sampled_from([1, 7, 4096])
TEXTS = answers(only_text=True)


def encoded(drawn: Drawn, *, include_usage: bool = True, batch: int = 3) -> bytes:
    encoder = CompletionStreamEncoder(include_usage=include_usage)
    pieces = [encoder.encode(events) for events in in_batches(drawn.events, batch)]
    assert encoder.finished
    return sse.KEEP_ALIVE.join(pieces)


@given(TEXTS, st.booleans(), st.integers(1, 9))
def test_the_bytes_keep_every_rule(drawn: Drawn, include_usage, batch):
    chunks = chunks_of(encoded(drawn, include_usage=include_usage, batch=batch))
    check_chunks(chunks, "text_completion", include_usage=include_usage)
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        assert choice.keys() >= {"index", "text", "logprobs", "finish_reason"}
        assert choice["finish_reason"] is None or choice["text"] == "", "the reason comes alone"


@settings(deadline=None)  # the judge's client takes its time at first
@given(TEXTS, st.integers(1, 9), SIZES)
def test_the_official_client_reads_what_was_said(drawn: Drawn, batch, size):
    chunks = texts_by_openai(encoded(drawn, batch=batch), size)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    for index, reason in enumerate(drawn.reasons):
        own = [choice for choice in choices if choice.index == index]
        assert "".join(choice.text for choice in own) == drawn.text.get(index, "")
        assert [choice.finish_reason for choice in own if choice.finish_reason] == [reason]
    told = chunks[-1].usage
    assert (told is None) == (drawn.usage is None)


def test_a_failure_in_the_middle_is_an_error_with_its_words_and_no_end():
    encoder = CompletionStreamEncoder(include_usage=False)
    raw = encoder.encode([started(), delta("Hel")])
    raw += encoder.fail(ServiceError("UPSTREAM_FAILED", "gone\u2028for good"))
    assert chunks_of(raw, ended=False)[-1]["error"]["message"] == "gone\u2028for good"
    assert len([line for line in raw.decode().splitlines() if line]) == 2
    with pytest.raises(openai.APIError, match="gone"):
        texts_by_openai(raw, 7)


def test_no_text_breaks_an_event_into_lines():
    encoder = CompletionStreamEncoder(include_usage=False)
    raw = encoder.encode([started(), delta("a\u2028b\x85c"), finish(), completed()])
    assert all(line.startswith("data: ") for line in raw.decode().splitlines() if line)
    assert texts_by_openai(raw, 1)[0].choices[0].text == "a\u2028b\x85c"
