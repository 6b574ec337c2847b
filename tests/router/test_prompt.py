"""What a window holds of a prompt, and how little of short prompts is looked at."""

from __future__ import annotations

import pytest
from hypothesis import given

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, ImageUrl, Message
from lair.router.v1.chat_pb2 import ChatCall, FunctionSpec, Tool
from router_svc.prompt import Prompt, chat_prompt, text_prompt
from router_svc.tokens import MIN_RATIO, Size, TokenEstimator, at_most, measure
from tests.router.talks import conversations, talk
from tests.router.texts import completing
from tests.router.world import asking, user

PAIR = ("a", "tiny")


def prompt(*messages: Message, cap: int = 0, **fields: int) -> Prompt:
    call = asking(messages=list(messages), **fields)
    call.route.max_context_tokens = cap
    return chat_prompt(call, TokenEstimator())


@pytest.mark.parametrize(
    ("window", "fields", "room", "limit"),
    [
        (None, {}, None, None),
        (None, {"cap": 50}, 50, 50),
        (1000, {}, 750, 1000),
        (100_000, {}, 95_904, 100_000),
        (1000, {"cap": 800}, 750, 800),
        (1000, {"cap": 300}, 300, 300),
        (1000, {"max_tokens": 100}, 900, 1000),
        (1000, {"max_tokens": 5000}, 500, 1000),
        (1000, {"max_completion_tokens": 200, "max_tokens": 100}, 800, 1000),
        (1000, {"max_tokens": -1}, 750, 1000),
    ],
)
def test_room_for_the_prompt_is_what_window_cap_and_reply_leave(
    window: int | None, fields: dict[str, int], room: int | None, limit: int | None
) -> None:
    asked = prompt(user("hi"), **fields)
    assert (asked.room(window), asked.limit(window)) == (room, limit)


def test_a_prompt_is_not_measured_where_no_window_is_known_or_near() -> None:
    asked = prompt(user("hello there"))
    for window in (None, 512):
        assert asked.clearly_fits(*PAIR, window)
        assert asked.fits(*PAIR, window)
        assert not asked.overflow(*PAIR, window)
    assert not asked.measured
    assert not asked.fits(*PAIR, 8)
    assert asked.measured


def test_a_prompt_fits_clearly_only_where_an_error_of_the_estimate_does_not_matter() -> None:
    asked = prompt(user("x" * 1520))  # 408 tokens
    windows = (540, 560, 640, 660)  # of which three quarters are its room
    assert [asked.fits(*PAIR, window) for window in windows] == [False, True, True, True]
    assert [asked.clearly_fits(*PAIR, window) for window in windows] == [False, False, False, True]


def test_only_what_must_stay_can_overflow_and_only_beyond_doubt() -> None:
    old = talk("user: " + "x" * 9000, "assistant: ok")
    asked = prompt(*old, user("y" * 380))  # the last turn takes 108 tokens
    assert [asked.overflow(*PAIR, window) for window in (200, 108, 95, 90)] == [0, 0, 0, 108]


def test_of_a_text_to_complete_the_longest_counts_and_all_must_stay() -> None:
    asked = text_prompt(completing("x" * 38, "x" * 760, [1] * 90), TokenEstimator())
    assert asked.size == Size(760, 0, 0)
    assert asked.overflow(*PAIR, 100) == 200
    tokens = text_prompt(completing("x", [1] * 90, suffix="y" * 19), TokenEstimator())
    assert tokens.tokens(*PAIR) == 95


@given(conversations())
def test_a_glance_sees_no_less_than_any_model_takes(messages: list[Message]) -> None:
    picture = ContentPart(type="image_url", image_url=ImageUrl(url="https://pictures.test/a"))
    shown = Message(role="user", parts=ContentParts(parts=[picture]))
    tools = [Tool(type="function", function=FunctionSpec(name="f"))] * 3
    dense = TokenEstimator()
    for said in (messages, [*messages, shown]):
        call = ChatCall(messages=said, tools=tools)
        size = measure(call)
        assert at_most(call) >= dense.tokens(size, *PAIR)
        assert at_most(call) >= size.text_bytes / MIN_RATIO + size.template_tokens


def test_a_cap_below_nothing_is_none() -> None:
    capped = prompt(user("x" * 4000), cap=-5)
    assert capped.fits(*PAIR, None)
    assert capped.limit(8192) == 8192
