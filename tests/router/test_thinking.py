"""A `<think>` at the head of an answer becomes its reasoning, however the network cuts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCompletion, Choice
from router_svc.backends.normalise import StreamNormaliser
from router_svc.backends.thinking import Splitter, SplitThink, split_completion
from tests.fakes.answers import chunk
from tests.router.streams import choice, deltas, finishes

CASES = [
    ("<think>why</think>because", "why", "because"),
    ("<think>\nwhy\n</think>\n\nbecause", "\nwhy\n", "because"),
    ("\n <think>why</think>because", "why", "because"),
    ("<think></think>\n\nbecause", "", "because"),
    ("because", "", "because"),
    (" because", "", " because"),
    ("<b>because</b>", "", "<b>because</b>"),
    ("<thin", "", "<thin"),
    ("<think>why, why", "why, why", ""),
    ("<think>1 < 2 </thin", "1 < 2 </thin", ""),
    ("a <think>no</think> b", "", "a <think>no</think> b"),
    ("<think>a</think>b</think>c<think>", "a", "b</think>c<think>"),
    ("", "", ""),
    ("   ", "", "   "),
]


def split(pieces: list[str]) -> tuple[str, str]:
    splitter = Splitter()
    parts = [*(splitter.feed(piece) for piece in pieces), splitter.end()]
    return "".join(part[0] for part in parts), "".join(part[1] for part in parts)


@pytest.mark.parametrize(("text", "reasoning", "answer"), CASES, ids=[case[0] for case in CASES])
def test_reasoning_and_answer_are_parted(text: str, reasoning: str, answer: str) -> None:
    for size in range(1, len(text) + 1):
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert split(pieces) == (reasoning, answer)


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "a", " ", "\n", "think>"])))
def test_nothing_but_tags_and_blank_lines_is_lost(pieces: list[str]) -> None:
    text = "".join(pieces)
    reasoning, answer = split(pieces)
    assert split([text]) == (reasoning, answer)
    kept = "".join((reasoning + answer).split())
    said = "".join(text.split())
    without_tags = said.replace("<think>", "", 1).replace("</think>", "", 1)
    assert kept in (said, without_tags, said.replace("<think>", "", 1))


def test_a_whole_answer_is_parted_in_place() -> None:
    message = Message(role="assistant", text="<think>why</think>because")
    completion = ChatCompletion(choices=[Choice(message=message)])
    split_completion(completion)
    [parted] = completion.choices
    assert (parted.message.reasoning, parted.message.text) == ("why", "because")


def test_a_whole_answer_without_a_tag_stays_as_it_is() -> None:
    message = Message(role="assistant", text="because", reasoning="why")
    completion = ChatCompletion(choices=[Choice(message=message)])
    split_completion(completion)
    assert completion.choices[0].message == message


def test_each_streamed_answer_is_parted_and_what_was_held_back_comes_before_the_ends() -> None:
    reader = SplitThink(StreamNormaliser("m", answers=2))
    frames = [
        chunk("<thi", index=0), chunk("no tag", index=1), chunk("nk>why</th", index=0),
        chunk("ink>be", index=0), chunk("cause", index=0), chunk("<", index=2),
        choice({}, index=0, finish="stop"), choice({}, index=1, finish="stop"),
        choice({}, index=2, finish="stop"),
    ]  # fmt: skip
    events = reader.feed(frame.removeprefix(b"data: ").strip() for frame in frames)
    assert reader.complete
    assert not reader.done
    events += reader.end()
    said = {
        index: (
            "".join(delta.reasoning for delta in deltas(events) if delta.index == index),
            "".join(delta.text for delta in deltas(events) if delta.index == index),
        )
        for index in range(3)
    }
    assert said == {0: ("why", "because"), 1: ("", "no tag"), 2: ("", "<")}
    assert finishes(events) == [(0, "stop"), (1, "stop"), (2, "stop")]
    assert [event.WhichOneof("event") for event in events[-4:]] == [*["finish"] * 3, "completed"]
    assert all(delta.text or delta.reasoning for delta in deltas(events))
