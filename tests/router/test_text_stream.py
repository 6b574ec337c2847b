"""Streams of text completion chunks, clean whatever the backend does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lair.router.v1.chat_pb2 import ChatEvent
from router_svc.backends.sse import SseDecoder
from router_svc.backends.text_stream import TextStream
from router_svc.model import UpstreamError
from tests.fakes.answers import DONE, event, usage_chunk, usage_of
from tests.router.streams import deltas, finishes
from tests.router.texts import completing, text_chunk
from tests.router.world import kinds

NULL = b"data: null\n\n"


def read(*frames: bytes, prompts: int = 1, size: int = 4096, **fields: Any) -> list[ChatEvent]:
    """Return the events of a stream that comes in pieces of `size` bytes."""
    raw = b"".join(frames)
    decoder, reader = SseDecoder(), TextStream(completing(*(["x"] * prompts), **fields), "asked")
    events: list[ChatEvent] = []
    for start in range(0, len(raw), size):
        events += reader.feed(decoder.feed(raw[start : start + size]))
    events += reader.feed(decoder.end())
    return events + reader.end()


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_pieces_come_in_order_and_the_reason_last(size: int) -> None:
    said = read(text_chunk("a"), text_chunk("b", finish="stop"), usage_chunk(5, 2), DONE, size=size)
    assert kinds(said) == ["started", "delta", "delta", "finish", "completed"]
    assert [delta.text for delta in deltas(said)] == ["a", "b"]
    started = said[0].started
    assert (started.id, started.created, started.model) == ("cmpl-1", 1700000000, "tiny")
    assert said[-1].completed.usage.total_tokens == 7


def test_what_llama_cpp_sends_for_several_prompts_comes_out_clean() -> None:
    said = read(
        NULL,
        text_chunk("It", index=1),
        text_chunk(" is", index=0),
        text_chunk(index=1, finish="length", usage=usage_of(2, 3)),
        text_chunk("!", index=0),
        text_chunk(index=0, finish="stop", usage=usage_of(1, 2)),
        DONE,
        prompts=2,
    )
    assert [(delta.index, delta.text) for delta in deltas(said)] == [
        (1, "It"),
        (0, " is"),
        (0, "!"),
    ]
    assert finishes(said) == [(0, "stop"), (1, "length")]
    usage = said[-1].completed.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 5, 8)


def test_a_prompt_is_counted_once_for_all_its_answers() -> None:
    ends = [text_chunk("a", index=n, finish="stop", usage=usage_of(4, 1)) for n in range(2)]
    usage = read(*ends, n=2)[-1].completed.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (4, 2)


def test_a_usage_of_the_whole_answer_stands_alone() -> None:
    ends = [text_chunk("a", index=n, finish="stop", usage=usage_of(4, 1)) for n in range(2)]
    usage = read(*ends, usage_chunk(9, 9), n=2)[-1].completed.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (9, 9)


def test_without_a_count_usage_is_unknown() -> None:
    assert not read(text_chunk("a", finish="stop"))[-1].completed.HasField("usage")


def test_logprobs_and_the_vendors_fields_keep_their_level() -> None:
    choice = {"text": "a", "index": 0, "logprobs": {"tokens": ["a"]}, "token_ids": [1]}
    end = {"text": "", "index": 0, "finish_reason": "stop", "stop_reason": 9}
    said = read(
        event({"id": "c", "choices": [choice], "system_fingerprint": "f"}),
        event({"id": "c", "choices": [end], "timings": {"n": 1}}),
        event({"id": "c", "choices": [], "cost": 1}),
    )
    [delta] = deltas(said)
    assert json.loads(delta.logprobs_json) == {"tokens": ["a"]}
    assert json.loads(delta.choice_extra_json) == {"token_ids": [1]}
    assert json.loads(delta.chunk_extra_json) == {"system_fingerprint": "f"}
    finish = said[-2].finish
    assert json.loads(finish.choice_extra_json) == {"stop_reason": 9}
    assert json.loads(finish.chunk_extra_json) == {"timings": {"n": 1}}
    assert json.loads(said[-1].completed.extra_json) == {"cost": 1}


def test_a_stream_is_complete_when_every_answer_has_told_its_end() -> None:
    reader, decoder = TextStream(completing("x", "y"), "m"), SseDecoder()
    reader.feed(decoder.feed(text_chunk("a", finish="stop")))
    assert not reader.complete
    reader.feed(decoder.feed(text_chunk("b", index=1, finish="stop")))
    assert (reader.complete, reader.done) == (True, False)
    reader.feed(decoder.feed(DONE))
    assert reader.done


@pytest.mark.parametrize(
    "frames",
    [
        (),
        (DONE,),
        (NULL,),
        (text_chunk("a"),),
        (text_chunk("a", finish="stop"), text_chunk("b", index=1)),
        (text_chunk("a"), event("{")),
        (text_chunk("a"), event({"error": {"message": "boom"}})),
        (text_chunk("a"), event({"choices": [{"text": 3}]})),
        (text_chunk("a"), event({"choices": 3})),
        (text_chunk("a", index=2, finish="stop"),),
        (text_chunk("a", index=-1, finish="stop"),),
    ],
)
def test_an_answer_that_breaks_off_is_a_failure(frames: tuple[bytes, ...]) -> None:
    with pytest.raises(UpstreamError) as caught:
        read(*frames, n=2)
    assert caught.value.reason == "UPSTREAM_FAILED"
