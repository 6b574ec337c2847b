"""Whatever a backend's stream looks like, clean events come out of it.

Every stream is fed in pieces of 1, 7 and 4096 bytes.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lair.router.v1.chat_pb2 import ChatEvent
from router_svc.backends.normalise import StreamNormaliser
from router_svc.model import UpstreamError
from tests.fakes.answers import DONE, chunk, event, usage_chunk, usage_of
from tests.router.streams import Normalise, choice, deltas, finishes

STOP = chunk(finish="stop")


def kinds(events: list[ChatEvent]) -> list[str | None]:
    return [item.WhichOneof("event") for item in events]


def text(events: list[ChatEvent], index: int = 0) -> str:
    return "".join(delta.text for delta in deltas(events) if delta.index == index)


# -- the order of events -------------------------------------------------------


def test_a_well_behaved_stream_keeps_its_order(normalise: Normalise) -> None:
    events = normalise(chunk("Hel"), chunk("lo"), STOP, usage_chunk(5, 2), DONE)
    assert kinds(events) == ["started", "delta", "delta", "finish", "completed"]
    started = events[0].started
    assert (started.id, started.created, started.model) == ("chatcmpl-1", 1700000000, "tiny")
    assert text(events) == "Hello"
    assert finishes(events) == [(0, "stop")]
    assert events[-1].completed.usage.total_tokens == 7


def test_the_role_of_every_chunk_makes_no_delta_of_its_own(normalise: Normalise) -> None:
    events = normalise(
        choice({"role": "assistant", "content": ""}),
        choice({"role": "assistant", "content": "a"}),
        choice({"role": "assistant", "content": "b"}),
        choice({"role": "assistant"}, finish="stop"),
    )
    assert [delta.text for delta in deltas(events)] == ["a", "b"]
    assert not any(delta.extra_json for delta in deltas(events))


def test_the_reason_in_the_last_text_chunk_is_split_off(normalise: Normalise) -> None:
    events = normalise(chunk("a"), chunk("b", finish="length"), DONE)
    assert kinds(events) == ["started", "delta", "delta", "finish", "completed"]
    assert text(events) == "ab"
    assert finishes(events) == [(0, "length")]


def test_choices_that_come_as_1_then_0_end_in_ascending_order(normalise: Normalise) -> None:
    events = normalise(
        chunk("one", index=1),
        chunk("zero", index=0),
        chunk(finish="stop", index=1),
        chunk(finish="length", index=0),
        usage_chunk(5, 2),
        usage_chunk(5, 3),
        DONE,
    )
    assert (text(events, 0), text(events, 1)) == ("zero", "one")
    assert finishes(events) == [(0, "length"), (1, "stop")]
    assert events[-1].completed.usage.total_tokens == 10  # the prompt once, and both answers


def test_text_after_a_reason_still_comes_before_the_end(normalise: Normalise) -> None:
    events = normalise(chunk("a", finish="stop"), chunk("b"), DONE)
    assert kinds(events) == ["started", "delta", "delta", "finish", "completed"]


def test_a_repeated_reason_is_told_once(normalise: Normalise) -> None:
    assert finishes(normalise(chunk("a"), STOP, chunk(finish="length"), DONE)) == [(0, "stop")]


def test_no_done_at_the_end_is_no_fault(normalise: Normalise) -> None:
    assert kinds(normalise(chunk("a"), STOP)) == ["started", "delta", "finish", "completed"]


def test_nothing_behind_done_is_read(normalise: Normalise) -> None:
    assert text(normalise(chunk("a"), STOP, DONE, event("not JSON"), chunk("b"))) == "a"


def test_chunks_without_a_reason_key_and_a_float_time_are_read(normalise: Normalise) -> None:
    bare = {"id": "c", "created": 1700000000.75, "model": "m"}
    events = normalise(
        event({**bare, "choices": [{"index": 0, "delta": {"role": "assistant"}}]}),
        event({**bare, "choices": [{"index": 0, "delta": {"content": "a"}}]}),
        event({**bare, "choices": [{"delta": {}, "finish_reason": "stop"}]}),
    )
    assert events[0].started.created == 1700000000
    assert (text(events), finishes(events)) == ("a", [(0, "stop")])


def test_a_stream_without_names_gets_an_id_and_the_model_asked_for(normalise: Normalise) -> None:
    events = normalise(event({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}))
    started = events[0].started
    assert started.id.startswith("chatcmpl-")
    assert started.model == "asked"
    assert started.created > 1700000000


def test_comments_and_empty_events_are_passed_over(normalise: Normalise) -> None:
    events = normalise(
        b": keep-alive\r\n\r\n", b"event: ping\r\n\r\n", b"data:\n\n", b"retry: 3000\n\n",
        chunk("a").replace(b"data: ", b"data:").replace(b"\n", b"\r\n"), b"id: 1\n\n",
        STOP.rstrip(b"\n"),
    )  # fmt: skip
    assert (text(events), finishes(events)) == ("a", [(0, "stop")])


# -- usage ---------------------------------------------------------------------


def test_usage_in_the_chunk_of_the_reason_is_read(normalise: Normalise) -> None:
    events = normalise(chunk("a"), chunk(finish="stop", usage=usage_of(9, 4)))
    assert events[-1].completed.usage.prompt_tokens == 9


def test_of_several_usages_the_last_counts(normalise: Normalise) -> None:
    events = normalise(
        chunk("a", usage=usage_of(9, 1)), chunk("b", usage=usage_of(9, 2)), STOP,
        usage_chunk(9, 3), event({"choices": [], "usage": None}), DONE,
    )  # fmt: skip
    assert events[-1].completed.usage.completion_tokens == 3


def test_without_usage_it_is_unset(normalise: Normalise) -> None:
    assert not normalise(chunk("a"), STOP, DONE)[-1].completed.HasField("usage")


def test_usage_behind_the_reason_is_not_lost(normalise: Normalise) -> None:
    events = normalise(chunk("a", finish="stop"), usage_chunk(5, 2))
    assert events[-1].completed.usage.total_tokens == 7


# -- reasoning, refusals, log probabilities ------------------------------------


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_read_under_both_names(normalise: Normalise, name: str) -> None:
    events = normalise(choice({name: "thinking"}), choice({"content": "a"}), STOP)
    assert [delta.reasoning for delta in deltas(events)] == ["thinking", ""]


def test_reasoning_under_both_names_at_once_is_not_doubled(normalise: Normalise) -> None:
    events = normalise(choice({"reasoning": "t", "reasoning_content": "t"}), chunk("a"), STOP)
    assert [delta.reasoning for delta in deltas(events)] == ["t", ""]


def test_reasoning_and_text_in_one_chunk_are_both_kept(normalise: Normalise) -> None:
    [delta] = deltas(normalise(choice({"reasoning": "t", "content": "a"}), STOP))
    assert (delta.reasoning, delta.text) == ("t", "a")


def test_a_refusal_and_log_probabilities_are_kept(normalise: Normalise) -> None:
    events = normalise(choice({"refusal": "no"}, logprobs={"content": [1]}), STOP)
    [delta] = deltas(events)
    assert delta.refusal == "no"
    assert json.loads(delta.logprobs_json) == {"content": [1]}


# -- unknown fields ------------------------------------------------------------


def test_unknown_fields_are_kept_at_each_level(normalise: Normalise) -> None:
    events = normalise(
        event({
            "choices": [{"delta": {"content": "a", "in_delta": 1}, "in_choice": [2]}],
            "in_chunk": {"x": 3},
        }),
        event({"choices": [{"delta": {}, "finish_reason": "stop", "why": 4}], "last": 5}),
        event({"choices": [], "usage": usage_of(1, 1), "timings": {"predicted_n": 6}}),
    )  # fmt: skip
    [delta] = deltas(events)
    assert json.loads(delta.extra_json) == {"in_delta": 1}
    assert json.loads(delta.choice_extra_json) == {"in_choice": [2]}
    assert json.loads(delta.chunk_extra_json) == {"in_chunk": {"x": 3}}
    finish = events[-2].finish
    assert json.loads(finish.choice_extra_json) == {"why": 4}
    assert json.loads(finish.chunk_extra_json) == {"last": 5}
    assert json.loads(events[-1].completed.extra_json) == {"timings": {"predicted_n": 6}}


def test_details_of_usage_are_read_and_kept(normalise: Normalise) -> None:
    usage = {
        **usage_of(9, 4),
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "queue_time": 0.1,
    }
    read = normalise(chunk("a", finish="stop", usage=usage))[-1].completed.usage
    assert (read.cached_tokens, read.reasoning_tokens) == (3, 2)
    extra = json.loads(read.extra_json)
    assert extra["prompt_tokens_details"] == usage["prompt_tokens_details"]
    assert extra["queue_time"] == 0.1


# -- faults --------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames",
    [
        (),
        (DONE,),
        (chunk("a"),),
        (chunk("a"), DONE),
        (chunk("a"), usage_chunk(5, 2), DONE),
        (chunk("a", index=0), chunk("b", index=1), STOP, DONE),
    ],
    ids=["empty", "done", "cut", "no reason", "usage, no reason", "one of two ended"],
)
def test_an_answer_that_tells_no_end_is_a_fault(
    normalise: Normalise, frames: tuple[bytes, ...]
) -> None:
    with pytest.raises(UpstreamError, match="middle of an answer") as caught:
        normalise(*frames)
    assert caught.value.reason == "UPSTREAM_FAILED"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (event({"error": {"message": "out of memory", "code": 500}}), "out of memory"),
        (event({"error": "out of memory"}), "out of memory"),
        (b"event: error\n" + event({"error": {"message": "boom"}}), "boom"),
        (event({"error": {"code": 7}}), '{"code":7}'),
    ],
)
def test_an_error_in_the_stream_is_a_fault_with_its_message(
    normalise: Normalise, frame: bytes, message: str
) -> None:
    with pytest.raises(UpstreamError) as caught:
        normalise(chunk("a"), frame)
    assert (caught.value.reason, caught.value.message) == ("UPSTREAM_FAILED", message)


def test_what_came_before_a_fault_is_not_lost_with_it() -> None:
    normaliser = StreamNormaliser("m")
    frames = [json.dumps({"choices": [{"delta": {"content": "a"}}]}).encode(), b'{"error": "x"}']
    assert text(normaliser.feed([*frames, frames[0]])) == "a"
    assert normaliser.done
    with pytest.raises(UpstreamError, match="x"):
        normaliser.end()


@pytest.mark.parametrize(
    "data",
    ["{", "[1]", '"text"', "null", "\xff", '{"choices": [3]}', '{"choices": [{"delta": 3}]}'],
)
def test_data_that_is_no_chunk_is_a_fault_of_the_backend(normalise: Normalise, data: str) -> None:
    with pytest.raises(UpstreamError, match="the backend sent"):
        normalise(chunk("a"), event(data.encode("latin-1")), STOP)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def odd(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw objects of these fields, any of which may be missing or junk; or junk."""
    optional = {name: strategy | junk for name, strategy in fields.items()}
    return st.fixed_dictionaries({}, optional=optional) | junk


odd_calls = odd(id=junk, index=junk, type=junk, function=odd(name=junk, arguments=junk))
odd_deltas = odd(content=junk, reasoning=junk, refusal=junk, tool_calls=st.lists(odd_calls))
odd_choices = odd(index=junk, delta=odd_deltas, finish_reason=junk, logprobs=junk)
odd_usages = odd(
    prompt_tokens=junk, total_tokens=junk, prompt_tokens_details=odd(cached_tokens=junk)
)
odd_chunks = odd(
    id=junk, created=junk, model=junk, choices=st.lists(odd_choices), usage=odd_usages, more=junk
)


@given(st.lists(odd_chunks, min_size=1, max_size=3))
def test_whatever_json_a_backend_sends_only_its_own_faults_come_out(bodies: list[Any]) -> None:
    normaliser = StreamNormaliser("m")
    try:
        events = normaliser.feed(json.dumps(body).encode() for body in bodies)
        events += normaliser.end()
    except UpstreamError:
        return
    assert kinds(events)[-1] == "completed"
