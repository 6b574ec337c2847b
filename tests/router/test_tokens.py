"""Tokens are estimated from bytes, by a ratio that every counted answer corrects."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lair.common.v1.chat_pb2 import (
    ContentPart,
    ContentParts,
    FunctionCall,
    ImageUrl,
    Message,
    ToolCall,
)
from lair.router.v1.chat_pb2 import ChatCall, FunctionSpec, Tool
from router_svc.tokens import (
    MAX_RATIO,
    MEDIA_TOKENS,
    MIN_RATIO,
    START_RATIO,
    TokenEstimator,
    is_close,
    measure,
)
from tests.router.talks import conversations
from tests.router.world import user

PAIR = ("a", "tiny")
LONG = "All work and no play makes Jack a dull boy. " * 100


def call(*messages: Message, tools: Sequence[Tool] = ()) -> ChatCall:
    return ChatCall(messages=messages, tools=tools)


def tokens(asked: ChatCall) -> int:
    return TokenEstimator().estimate(asked, *PAIR)


def parts(*items: ContentPart) -> Message:
    return Message(role="user", parts=ContentParts(parts=items))


def tool(description: str = "What the weather is", parameters: bytes = b"{}") -> Tool:
    spec = FunctionSpec(name="weather", description=description, parameters_json=parameters)
    return Tool(type="function", function=spec)


def taught(asked: ChatCall, prompt_tokens: int, times: int = 1) -> TokenEstimator:
    estimator = TokenEstimator()
    for _ in range(times):
        estimator.learn(measure(asked), *PAIR, prompt_tokens)
    return estimator


def test_unlearned_text_takes_its_bytes_over_the_first_ratio() -> None:
    least = tokens(call(user("")))
    assert tokens(call(user("x" * 380))) - least == 100
    assert START_RATIO == 3.8


def test_bytes_count_and_not_characters() -> None:
    assert measure(call(user("日本語"))).text_bytes == 9
    assert measure(call(user("dull boy"))).text_bytes == 8


@pytest.mark.parametrize(
    "more",
    [
        Message(role="assistant", text="x" * 100),
        Message(role="assistant", reasoning="x" * 100),
        Message(role="assistant", refusal="x" * 100),
        Message(role="user", name="x" * 100),
        Message(role="user", parts=ContentParts(parts=[ContentPart(type="text", text="x" * 100)])),
        Message(role="assistant", tool_calls=[ToolCall(function=FunctionCall(name="x" * 100))]),
        Message(
            role="assistant", tool_calls=[ToolCall(function=FunctionCall(arguments="x" * 100))]
        ),
    ],
    ids=["text", "reasoning", "refusal", "name", "part", "tool name", "arguments"],
)
def test_everything_a_message_says_counts(more: Message) -> None:
    assert measure(call(user("a"), more)).text_bytes == 101


@pytest.mark.parametrize(
    "more", [tool("x" * 380), tool(parameters=b"x" * 380)], ids=["words", "schema"]
)
def test_what_describes_a_tool_counts(more: Tool) -> None:
    assert tokens(call(user("a"), tools=[more])) >= tokens(call(user("a"))) + 100


@pytest.mark.parametrize(
    "part",
    [
        ContentPart(
            type="image_url", image_url=ImageUrl(url="data:image/png;base64," + "A" * 9999)
        ),
        ContentPart(type="input_audio", extra_json=b'{"input_audio": {"data": "AAAA"}}'),
        ContentPart(type="file", extra_json=b'{"file": {"file_data": "AAAA"}}'),
    ],
    ids=lambda part: str(part.type),
)
def test_a_picture_a_sound_or_a_file_takes_a_constant(part: ContentPart) -> None:
    text = ContentPart(type="text", text="What is this?")
    assert tokens(call(parts(text, part))) == tokens(call(parts(text))) + MEDIA_TOKENS


def test_messages_can_be_estimated_apart_from_their_call() -> None:
    asked = call(user("one"), user("two"), tools=[tool()])
    estimate = TokenEstimator().of_messages(asked, *PAIR)
    assert estimate(asked.messages) == tokens(asked)
    assert estimate(asked.messages[1:]) == tokens(call(user("two"), tools=[tool()]))


def test_a_known_error_of_the_estimate_is_made_good() -> None:
    asked = call(user("one " * 50), user("two"))
    estimate = TokenEstimator().of_messages(asked, *PAIR, scale=1.5)
    assert estimate(asked.messages) == pytest.approx(1.5 * tokens(asked), abs=1)
    assert estimate(list(asked.messages)[1:]) == pytest.approx(
        1.5 * tokens(call(user("two"))), abs=1
    )


@given(conversations(), conversations())
def test_more_messages_never_take_fewer_tokens(one: list[Message], two: list[Message]) -> None:
    assert tokens(call(*one)) < tokens(call(*one, *two))


@given(st.text(), st.text(min_size=1))
def test_longer_text_never_takes_fewer_tokens(text: str, more: str) -> None:
    assert 0 < tokens(call(user(text))) <= tokens(call(user(text + more)))
    assert tokens(call(user(text + more))) > tokens(call())


@given(st.lists(st.tuples(st.text(max_size=3000), st.integers(-5, 10_000)), max_size=20))
def test_whatever_is_reported_the_ratio_stays_in_its_bounds(counts: list[tuple[str, int]]) -> None:
    estimator = TokenEstimator()
    for text, prompt_tokens in counts:
        estimator.learn(measure(call(user(text))), *PAIR, prompt_tokens)
    assert MIN_RATIO <= estimator.ratio(*PAIR) <= MAX_RATIO


@given(st.floats(MIN_RATIO, MAX_RATIO), st.integers(2000, 20_000))
def test_the_estimate_converges_to_what_is_counted(ratio: float, size: int) -> None:
    asked = call(user("x" * size))
    counted = round(size / ratio) + measure(asked).template_tokens
    estimator = taught(asked, counted, times=30)
    assert estimator.estimate(asked, *PAIR) == pytest.approx(counted, rel=0.01, abs=2)


def test_one_odd_count_moves_the_ratio_by_a_part_only() -> None:
    asked = call(user("x" * 3800))
    assert START_RATIO - 1 < taught(asked, 2500).ratio(*PAIR) < START_RATIO


def test_a_short_prompt_teaches_less_than_a_long_one() -> None:
    short = taught(call(user("x" * 40)), 30).ratio(*PAIR)
    long = taught(call(user("x" * 4000)), 2200).ratio(*PAIR)
    assert long < short < START_RATIO


@pytest.mark.parametrize("counted", [0, 8, 20], ids=["nothing", "the template", "a few"])
def test_a_count_that_leaves_out_cached_text_teaches_nothing(counted: int) -> None:
    assert taught(call(user(LONG)), counted).ratio(*PAIR) == START_RATIO


def test_a_prompt_with_pictures_teaches_nothing() -> None:
    picture = ContentPart(type="image_url", image_url=ImageUrl(url="https://pictures.test/a.png"))
    shown = call(user(LONG), parts(picture))
    assert taught(shown, 5000).ratio(*PAIR) == START_RATIO


def test_every_model_of_every_backend_learns_for_itself() -> None:
    estimator = taught(call(user(LONG)), 2000)
    assert estimator.ratio(*PAIR) != START_RATIO
    assert estimator.ratio("b", "tiny") == estimator.ratio("a", "big") == START_RATIO


def test_what_answered_least_recently_is_forgotten_first() -> None:
    estimator = TokenEstimator(maximum=2)
    for model in ("one", "two", "one", "three"):
        estimator.learn(measure(call(user(LONG))), "a", model, 2000)
    ratios = {model: estimator.ratio("a", model) for model in ("one", "two", "three")}
    assert ratios["two"] == START_RATIO
    assert START_RATIO not in (ratios["one"], ratios["three"])


@pytest.mark.parametrize(
    ("estimate", "close"), [(849, False), (850, True), (1000, True), (1150, True), (1151, False)]
)
def test_an_estimate_is_close_within_15_percent_of_the_window(estimate: int, close: bool) -> None:
    assert is_close(estimate, 1000) is close


def test_a_function_that_estimates_does_not_change_while_somebody_works_with_it() -> None:
    estimator = TokenEstimator()
    call = ChatCall(messages=[user("x" * 4000)])
    estimate = estimator.of_messages(call, "a", "tiny", scale=2.0)
    before = estimate(call.messages)
    estimator.learn(measure(call), "a", "tiny", 2000)
    assert estimate(call.messages) == before
    assert estimator.of_messages(call, "a", "tiny")(call.messages) > before / 2
