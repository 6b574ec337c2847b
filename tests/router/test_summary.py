"""Turns that no longer fit are summarised where that is on; a chat never fails for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, Message
from router_svc.context import ContextOverflowError, Fitted, fit
from router_svc.model import UpstreamError
from router_svc.summary import MARK, SUMMARY_TOKENS, Summaries, Summarise
from svckit.errors import ServiceError
from tests.router.talks import conversations, talk, told, whole_calls, words

ANN = ("ann", "c1")
HEAD = "system: s"
# Each turn takes a bit more than 400 tokens by `words`, so that two and a summary fit.
WINDOW = 1700
LONG = 200


class Model:
    """Stands in for the model that summarises: keeps what it is asked, says what it is told."""

    def __init__(self, *replies: str | Exception) -> None:
        self.asked: list[str] = []
        self._replies = list(replies)

    async def __call__(self, messages: Sequence[Message]) -> str:
        instructions, question = messages
        assert (instructions.role, question.role) == ("system", "user")
        self.asked.append(question.text)
        reply = self._replies.pop(0) if self._replies else f"summary {len(self.asked)}"
        if isinstance(reply, Exception):
            raise reply
        return reply


def turns(*numbers: int, head: str = HEAD) -> list[Message]:
    """Return a conversation of long turns, and a last question."""
    lines = [(f"user: {n} {'x' * LONG}", f"assistant: {n} {'y' * LONG}") for n in numbers]
    return talk(head, *(line for pair in lines for line in pair), "user: last")


def starts(fitted: Fitted) -> list[str]:
    """Return how each message begins."""
    lines = [line.replace(MARK, "") for line in told(fitted.messages)]
    return [" ".join(line.split()[:4]).rstrip("xy").rstrip() for line in lines]


class Desk:
    """Summaries, and who writes them."""

    def __init__(self, writer: Summarise, **limits: Any) -> None:
        self.summaries = Summaries(**limits)
        self.writer = writer


async def fitted_by(
    desk: Desk, messages: Sequence[Message], owner: tuple[str, str] = ANN, **limits: Any
) -> Fitted:
    return await desk.summaries.fit(
        *(owner, desk.writer, messages),
        **{"budget_tokens": WINDOW, "estimate": words, **limits},
    )


async def test_what_fits_needs_no_summary() -> None:
    model = Model()
    fitted = await fitted_by(Desk(model), turns(1, 2))
    assert fitted.messages == turns(1, 2)
    assert not fitted.cut
    assert model.asked == []


async def test_a_summary_stands_in_place_of_the_turns_that_were_cut() -> None:
    model = Model()
    fitted = await fitted_by(Desk(model), turns(1, 2, 3, 4, 5))
    assert starts(fitted) == [*("system: s summary 1", "user: 5", "assistant: 5", "user: last")]
    assert fitted.messages[0].text == f"s\n\n{MARK}summary 1"
    assert words(fitted.messages) == fitted.cut.tokens_after <= WINDOW
    assert fitted.cut.summary().startswith("4 oldest turns summarised; about ")
    [asked] = model.asked
    assert all(f"user: {n} x" in asked for n in (1, 2, 3, 4))
    assert "user: 5" not in asked


@pytest.mark.parametrize("head", [[], ["system: a", "developer: b"]], ids=["none", "two"])
async def test_a_conversation_gets_no_further_system_message_but_a_first(head: list[str]) -> None:
    messages = [*talk(*head), *turns(1, 2, 3, 4, 5)[1:]]
    before = [message.text for message in messages]
    fitted = await fitted_by(Desk(Model()), messages)
    heads = [m for m in fitted.messages if m.role in ("system", "developer")]
    assert len(heads) == max(1, len(head))
    assert heads[-1].text.removeprefix("b\n\n") == f"{MARK}summary 1"
    assert fitted.messages[: len(heads)] == heads
    assert [message.text for message in messages] == before


async def test_a_system_prompt_in_parts_gets_one_more() -> None:
    parts = ContentParts(parts=[ContentPart(type="text", text="s")])
    messages = [Message(role="system", parts=parts), *turns(1, 2, 3, 4, 5)[1:]]
    fitted = await fitted_by(Desk(Model()), messages)
    assert [part.text for part in fitted.messages[0].parts.parts] == ["s", f"{MARK}summary 1"]
    assert len(messages[0].parts.parts) == 1


async def test_a_summary_is_used_again_while_the_rest_fits_behind_it() -> None:
    model = Model()
    desk = Desk(model)
    await fitted_by(desk, turns(1, 2, 3, 4, 5))
    fitted = await fitted_by(desk, turns(1, 2, 3, 4, 5, 6))
    assert "system: s summary 1" in starts(fitted)
    assert starts(fitted)[-5:] == [
        *("user: 5", "assistant: 5", "user: 6", "assistant: 6", "user: last")
    ]
    assert fitted.cut.turn_count == 4
    assert len(model.asked) == 1


async def test_what_is_cut_next_extends_the_summary() -> None:
    model = Model()
    desk = Desk(model)
    await fitted_by(desk, turns(1, 2, 3, 4, 5))
    fitted = await fitted_by(desk, turns(1, 2, 3, 4, 5, 6, 7, 8))
    assert starts(fitted)[0] == "system: s summary 2"
    assert fitted.cut.turn_count == 7
    assert "summary 1" in model.asked[1]
    assert "user: 4" not in model.asked[1]
    assert "user: 5" in model.asked[1]


async def test_a_conversation_that_was_edited_is_summarised_anew() -> None:
    model = Model()
    desk = Desk(model)
    await fitted_by(desk, turns(1, 2, 3, 4, 5))
    await fitted_by(desk, turns(9, 2, 3, 4, 5))
    assert "summary 1" not in model.asked[1]
    assert "user: 9" in model.asked[1]


async def test_one_conversation_never_sees_anothers_summary() -> None:
    model = Model()
    desk = Desk(model)
    for owner in (ANN, ("bob", "c1"), ("ann", "c2")):
        await fitted_by(desk, turns(1, 2, 3, 4, 5), owner)
    assert len(model.asked) == 3


async def test_the_conversation_used_least_recently_is_forgotten_first() -> None:
    model = Model()
    desk = Desk(model, maximum=2)
    for name in ("c1", "c2", "c1", "c3"):
        await fitted_by(desk, turns(1, 2, 3, 4, 5), ("ann", name))
    assert len(model.asked) == 3
    await fitted_by(desk, turns(1, 2, 3, 4, 5), ("ann", "c1"))
    assert len(model.asked) == 3
    await fitted_by(desk, turns(1, 2, 3, 4, 5), ("ann", "c2"))
    assert len(model.asked) == 4


async def test_recall_goes_before_turns_are_summarised() -> None:
    model = Model()
    messages = turns(1, 2, 3)
    messages.insert(-1, Message(role="system", text="recalled " + "z" * 800))
    fitted = await fitted_by(Desk(model), messages, recall_index=len(messages) - 2)
    assert fitted.messages == turns(1, 2, 3)
    assert fitted.cut.summary().startswith("recall left out; ")
    assert model.asked == []


async def test_recall_that_fits_beside_a_summary_stays_where_it_was() -> None:
    messages = turns(1, 2, 3, 4, 5)
    messages.insert(-1, Message(role="system", text="recalled"))
    desk = Desk(Model())
    fitted = await fitted_by(desk, messages, recall_index=len(messages) - 2)
    assert starts(fitted)[-2:] == ["system: recalled", "user: last"]
    assert not fitted.cut.recall


async def test_recall_goes_where_only_a_summary_has_room() -> None:
    messages = turns(1, 2, 3, 4, 5)
    messages.insert(1, Message(role="system", text="recalled " + "z" * 1300))
    fitted = await fitted_by(Desk(Model()), messages, recall_index=1)
    assert starts(fitted)[:2] == ["system: s summary 1", "user: 5"]
    assert fitted.cut.summary().startswith("recall left out, 4 oldest turns summarised; ")


async def test_room_is_kept_for_the_reply() -> None:
    fitted = await fitted_by(Desk(Model()), turns(1, 2, 3, 4, 5), reply_tokens=500)
    assert fitted.cut.summarised
    assert words(fitted.messages) <= WINDOW - 500


@pytest.mark.parametrize(
    "failure",
    [
        ServiceError("NO_BACKEND", "nobody there"),
        UpstreamError("UPSTREAM_FAILED", "broke off"),
        TimeoutError(),
        "  ",
        "much " * WINDOW,
    ],
    ids=["refused", "broken", "late", "silent", "too long"],
)
async def test_without_a_usable_summary_turns_are_just_left_out(failure: Any) -> None:
    messages = turns(1, 2, 3, 4, 5)
    fitted = await fitted_by(Desk(Model(failure)), messages)
    assert fitted == fit(messages, budget_tokens=WINDOW, estimate=words)
    assert fitted.cut.turn_count == 1
    assert not fitted.cut.summarised


async def test_a_summary_that_takes_too_long_is_given_up() -> None:
    cancelled = asyncio.Event()

    async def never(_: Sequence[Message]) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ""

    fitted = await fitted_by(Desk(never, deadline_seconds=0.01), turns(1, 2, 3, 4, 5))
    assert fitted == fit(turns(1, 2, 3, 4, 5), budget_tokens=WINDOW, estimate=words)
    assert cancelled.is_set()


async def test_after_a_failure_nobody_waits_for_a_while() -> None:
    now = 1000.0
    model = Model(TimeoutError())
    desk = Desk(model, rest_seconds=60, clock=lambda: now)
    await fitted_by(desk, turns(1, 2, 3, 4, 5))
    now += 59
    assert not (await fitted_by(desk, turns(1, 2, 3, 4, 5))).cut.summarised
    assert len(model.asked) == 1
    now += 1
    assert (await fitted_by(desk, turns(1, 2, 3, 4, 5))).cut.summarised


@pytest.mark.parametrize(
    ("failure", "others_wait"),
    [
        (UpstreamError("UPSTREAM_FAILED", "broke off"), False),
        (TimeoutError(), False),
        (ServiceError("NO_BACKEND", "X-Local-Only, and it is remote"), True),
        (UpstreamError("CONTEXT_LENGTH_EXCEEDED", "too long"), True),
        ("much " * WINDOW, True),
        ("", True),
    ],
    ids=["broken", "late", "not allowed", "too long for it", "too long", "silent"],
)
async def test_what_fails_for_one_conversation_is_not_held_against_others(
    failure: Any, others_wait: bool
) -> None:
    desk = Desk(Model(failure))
    for owner, summarised in ((ANN, False), (ANN, False), (("bob", "c1"), others_wait)):
        fitted = await fitted_by(desk, turns(1, 2, 3, 4, 5), owner)
        assert fitted.cut.summarised == summarised


async def test_a_conversation_too_long_to_be_summarised_in_time_holds_up_no_other() -> None:
    desk = Desk(Model("a beginning", TimeoutError()))
    assert not (await fitted_by(desk, turns(*range(200)))).cut.summarised
    assert (await fitted_by(desk, turns(1, 2, 3, 4, 5), ("bob", "c1"))).cut.summarised


async def test_a_client_that_leaves_is_not_taken_for_a_failure() -> None:
    asked = asyncio.Event()
    model = Model()

    async def slow_once(messages: Sequence[Message]) -> str:
        if not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        return await model(messages)

    desk = Desk(slow_once)
    first = asyncio.create_task(fitted_by(desk, turns(1, 2, 3, 4, 5)))
    await asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await fitted_by(desk, turns(1, 2, 3, 4, 5))).cut.summarised


async def test_a_window_without_room_for_a_summary_gets_none() -> None:
    model = Model()
    fitted = await fitted_by(Desk(model), turns(1, 2), budget_tokens=SUMMARY_TOKENS)
    assert fitted.cut.turn_count == 1
    assert model.asked == []


async def test_what_can_never_fit_overflows_with_a_summary_too() -> None:
    with pytest.raises(ContextOverflowError):
        await fitted_by(Desk(Model()), turns(1, head=f"system: {'s' * WINDOW}"))


async def test_long_conversations_are_summarised_piece_by_piece() -> None:
    model = Model()
    messages = turns(*range(200))
    fitted = await fitted_by(Desk(model), messages)
    assert len(model.asked) > 1
    assert all(len(asked) < 30_000 for asked in model.asked)
    assert "summary 1" in model.asked[1]
    assert f"system: s summary {len(model.asked)}" in starts(fitted)


async def test_the_model_reads_calls_results_and_the_beginning_of_long_texts() -> None:
    model = Model()
    shown = Message(
        role="user", parts=ContentParts(parts=[ContentPart(type="text", text="look at this")])
    )
    messages = [shown, *talk("calls: x", "tool: x", f"assistant: {'w' * 9000}", "user: last")]
    await fitted_by(Desk(model), messages)
    [asked] = model.asked
    assert "user: look at this\nassistant: calls f({})\ntool: result\nassistant: www" in asked
    assert len(asked) < 5000


@given(conversations(), st.integers(500, 2500))
async def test_with_a_summary_the_same_holds_as_without(
    messages: list[Message], budget: int
) -> None:
    padded = [Message.FromString(message.SerializeToString()) for message in messages]
    for message in padded:
        if message.role == "user":
            message.text += " " * 2 * LONG
    desk = Desk(Model())
    for _ in ("made", "used again"):
        try:
            fitted = await fitted_by(desk, padded, budget_tokens=budget)
        except ContextOverflowError:
            with pytest.raises(ContextOverflowError):
                fit(padded, budget_tokens=budget, estimate=words)
            return
        assert words(fitted.messages) <= budget
        assert whole_calls(fitted.messages)
        event("summarised" if fitted.cut.summarised else "not summarised")
        written = [m for m in fitted.messages if MARK in m.text]
        assert len(written) == fitted.cut.summarised
        if written and padded[0].role in ("system", "developer"):
            head = padded[fitted.messages.index(written[0])]
            assert written[0].text.startswith(f"{head.text}\n\n{MARK}")
        remaining = iter(padded)
        ours = [m for m in fitted.messages if m not in written]
        assert all(any(message is other for other in remaining) for message in ours)
