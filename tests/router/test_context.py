"""A conversation is cut to its model's window: recall first, then the oldest turns."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lair.common.v1.chat_pb2 import Message
from router_svc.context import ContextOverflowError, Cut, Fitted, fit, turns, without
from tests.router.talks import conversations, last_turn, talk, told, whole_calls, words


def cut_to(messages: Sequence[Message], count: int, recall_index: int | None = None) -> list[str]:
    """Cut to a window of `count` messages; return what is left."""
    fitted = fit(messages, budget_tokens=count, estimate=len, recall_index=recall_index)
    return told(fitted.messages)


def test_what_fits_is_left_alone() -> None:
    messages = talk("system: s", "user: a", "assistant: b", "user: c")
    fitted = fit(messages, budget_tokens=4, estimate=len)
    assert fitted == Fitted(messages, Cut(4, 4))
    assert fitted.cut.summary() == ""


def test_the_oldest_turns_go_and_head_and_last_turn_stay() -> None:
    messages = talk(
        *("system: s", "developer: d"),
        *("user: 1", "assistant: one", "user: 2", "assistant: two", "user: 3"),
    )
    assert cut_to(messages, 6) == [
        *("system: s", "developer: d", "user: 2", "assistant: two", "user: 3")
    ]
    assert cut_to(messages, 4) == ["system: s", "developer: d", "user: 3"]


def test_recall_goes_before_any_turn() -> None:
    messages = talk("system: s", "user: 1", "assistant: one", "system: recalled", "user: 2")
    fitted = fit(messages, budget_tokens=4, estimate=len, recall_index=3)
    assert told(fitted.messages) == ["system: s", "user: 1", "assistant: one", "user: 2"]
    assert fitted.cut == Cut(5, 4, recall=True)
    assert cut_to(messages, 3, recall_index=3) == ["system: s", "user: 2"]


def test_recall_at_the_head_goes_like_any_other() -> None:
    messages = talk("system: s", "system: recalled", "user: 1")
    assert cut_to(messages, 2, recall_index=1) == ["system: s", "user: 1"]


def test_room_is_kept_for_the_reply() -> None:
    messages = talk("user: 1", "assistant: one", "user: 2")
    fitted = fit(messages, budget_tokens=13, estimate=len, reply_tokens=11)
    assert told(fitted.messages) == ["user: 2"]


def test_a_running_tool_loop_is_never_cut() -> None:
    messages = talk("user: 1", "assistant: one", "user: 2", "calls: x", "tool: x", "calls: y")
    messages += talk("tool: y")
    assert cut_to(messages, 5) == ["user: 2", "calls: x", "tool: x", "calls: y", "tool: y"]
    with pytest.raises(ContextOverflowError):
        cut_to(messages, 4)


def test_what_the_user_adds_behind_a_result_belongs_to_the_running_loop() -> None:
    loop = ("user: do it", "calls: x", "tool: x", "user: but quickly")
    messages = talk("user: 1", "assistant: one", *loop)
    assert cut_to(messages, 4) == list(loop)
    with pytest.raises(ContextOverflowError):
        cut_to(messages, 3)


def test_all_that_follows_a_user_is_the_users_turn() -> None:
    messages = talk("user: 1", "assistant: one", "user: 2", "calls: x", "tool: x", "system: t")
    assert turns(messages) == [[0, 1], [2, 3, 4, 5]]


def test_a_user_who_speaks_between_call_and_result_does_not_split_them() -> None:
    loop = ("user: 2", "calls: x", "user: hurry", "tool: x", "assistant: done")
    messages = talk("user: 1", *loop, "user: 3")
    assert cut_to(messages, 6) == [*loop, "user: 3"]
    assert cut_to(messages, 5) == ["user: 3"]


def test_ids_that_a_server_uses_again_do_not_tie_turns_together() -> None:
    again = ("calls: call_0", "tool: call_0", "assistant: done")
    messages = talk("user: 1", *again, "user: 2", *again)
    assert cut_to(messages, 7) == ["user: 2", *again]


@pytest.mark.parametrize("line", ["calls: ", "tool: "])
def test_calls_without_ids_do_not_tie_turns_together(line: str) -> None:
    messages = talk("user: 1", line, "assistant: done", "user: 2")
    assert cut_to(messages, 3) == ["user: 2"]


def test_an_instruction_right_before_the_last_turn_stays_with_it() -> None:
    messages = talk("user: 1", "assistant: one", "system: be brief", "user: 2")
    assert cut_to(messages, 3) == ["system: be brief", "user: 2"]


def test_a_greeting_before_the_first_user_counts_as_a_turn() -> None:
    messages = talk("system: s", "assistant: hello", "user: 1")
    assert cut_to(messages, 2) == ["system: s", "user: 1"]


@pytest.mark.parametrize("lines", [["system: s", "developer: d"], ["assistant: a", "assistant: b"]])
def test_without_a_user_nothing_goes(lines: list[str]) -> None:
    with pytest.raises(ContextOverflowError):
        cut_to(talk(*lines), 1)


def test_an_overflow_tells_the_numbers() -> None:
    messages = talk("system: 12345678", "user: 1", "assistant: one", "user: 123456789")
    with pytest.raises(ContextOverflowError) as caught:
        fit(messages, budget_tokens=20, estimate=words, reply_tokens=5)
    error = caught.value
    assert (error.needed_tokens, error.room_tokens, error.budget_tokens) == (19, 15, 20)
    assert str(error) == (
        "the last turn and the system prompt take about 19 tokens; of 20 tokens, 5 are kept for "
        "the reply"
    )


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (Cut(90, 40, recall=True), "recall left out"),
        (Cut(90, 40, turn_count=1), "1 oldest turn left out"),
        (Cut(90, 40, recall=True, turn_count=3), "recall and 3 oldest turns left out"),
        (Cut(90, 40, turn_count=3, summarised=True), "3 oldest turns summarised"),
        (
            Cut(90, 40, recall=True, turn_count=3, summarised=True),
            "recall left out, 3 oldest turns summarised",
        ),
    ],
)
def test_a_cut_is_told_in_a_few_words(cut: Cut, said: str) -> None:
    assert cut.summary() == f"{said}; about 90 tokens to 40"


# -- whatever the conversation -----------------------------------------------------


@st.composite
def recalling(draw: st.DrawFn) -> tuple[list[Message], int | None]:
    """A conversation, and where its recalled message stands, if it has one."""
    messages = draw(conversations())
    if not draw(st.booleans()):
        return messages, None
    place = draw(st.integers(0, len(messages)))
    messages.insert(place, Message(role="system", text=draw(st.text(max_size=30))))
    return messages, place


def tried(talk: tuple[list[Message], int | None], budget: int) -> Fitted | None:
    messages, recall_index = talk
    try:
        return fit(messages, budget_tokens=budget, estimate=words, recall_index=recall_index)
    except ContextOverflowError:
        return None


budgets = st.integers(0, 400)


@given(recalling(), budgets)
def test_what_is_left_fits_and_is_in_the_old_order(
    talk: tuple[list[Message], int | None], budget: int
) -> None:
    fitted = tried(talk, budget)
    assume(fitted)
    assert fitted
    assert words(fitted.messages) == fitted.cut.tokens_after <= budget
    remaining = iter(talk[0])
    assert all(any(message is other for other in remaining) for message in fitted.messages)


@given(recalling(), budgets)
def test_the_head_and_the_last_turn_always_stay(
    talk: tuple[list[Message], int | None], budget: int
) -> None:
    messages, recall_index = talk
    fitted = tried(talk, budget)
    assume(fitted)
    assert fitted
    first = min((turn[0] for turn in turns(messages, recall_index)), default=len(messages))
    head = [messages[place] for place in range(first) if place != recall_index]
    last = last_turn(messages, recall_index)
    kept = [m for m in fitted.messages if recall_index is None or m is not messages[recall_index]]
    assert kept[: len(head)] == head
    assert kept[len(kept) - len(last) :] == last
    assert [m.text for m in messages if m.role == "user"][-1] in [m.text for m in last]


@given(recalling(), budgets)
def test_calls_and_results_are_never_parted(
    talk: tuple[list[Message], int | None], budget: int
) -> None:
    assert whole_calls(talk[0])
    fitted = tried(talk, budget)
    assume(fitted)
    assert fitted
    assert whole_calls(fitted.messages)


@given(recalling(), budgets)
def test_it_fits_whenever_all_that_may_go_suffices(
    talk: tuple[list[Message], int | None], budget: int
) -> None:
    messages, recall_index = talk
    goes = {place for turn in turns(messages, recall_index)[:-1] for place in turn}
    least = words(without(messages, goes | {recall_index}))
    assert (tried(talk, budget) is not None) == (least <= budget)


@given(recalling(), budgets, budgets)
def test_a_smaller_window_never_keeps_more(
    talk: tuple[list[Message], int | None], one: int, other: int
) -> None:
    small, large = tried(talk, min(one, other)), tried(talk, max(one, other))
    assume(small)
    assert small
    assert large
    assert len(small.messages) <= len(large.messages)
    assert small.cut.turn_count >= large.cut.turn_count
    assert small.cut.recall >= large.cut.recall


@given(recalling())
def test_no_turn_goes_while_recall_is_enough(talk: tuple[list[Message], int | None]) -> None:
    messages, recall_index = talk
    assume(recall_index is not None)
    rest = without(messages, {recall_index})
    fitted = tried(talk, words(rest))
    assert fitted
    assert fitted.messages == rest
    assert fitted.cut.turn_count == 0
