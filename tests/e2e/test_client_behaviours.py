"""However clients send their history: what is stored of it, and what the backend is asked.

Each of eight behaviours, streamed and not, over a real lair. `test_dialects_behave.py` has
those of the other APIs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.scripted import Backend, Failing, Messages, Person, Tree, said, scripted_backend
from tests.e2e.stack import Lair, lair_up

SYSTEM = {"role": "system", "content": "Be brief."}
OTHER_SYSTEM = {"role": "system", "content": "Be brief. Today is Tuesday."}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
_names = (f"person-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with scripted_backend() as running:
        yield running


@pytest.fixture(scope="module")
def lair(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lair]:
    with lair_up(
        tmp_path_factory.mktemp("behaviours"),
        backends={"scripted": backend.url},
        LAIR_ROUTER__MEMORY_TIMEOUT_MS="10000",
    ) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def ann(lair: Lair, backend: Backend) -> Person:
    return Person(lair, backend, next(_names))


@pytest.fixture
def say(ann: Person, streamed: bool) -> Callable[..., str]:
    """Send messages as Ann; what reaches the backend must be `prompt`, or else just them."""

    def send(messages: Messages, answer: Any, prompt: Messages | None = None, **named: str) -> str:
        told = ann.chat(messages, answer, stream=streamed, **named)
        assert ann.backend.prompt == (messages if prompt is None else prompt)
        return told

    return send


def linear(*texts: str) -> Tree:
    """Return a conversation without branches."""
    path = [f"{'ua'[n % 2]}: {text}" for n, text in enumerate(texts)]
    return Tree(path, [], len(path))


# -- resending and not -----------------------------------------------------------


def test_resending_everything_adds_only_what_is_new(ann: Person, say: Any) -> None:
    say([SYSTEM, *said("one")], "1")
    say([SYSTEM, *said("one", "1", "two")], "2")
    say([SYSTEM, *said("one", "1", "two", "2", "three")], "3")
    assert ann.tree() == linear("one", "1", "two", "2", "three", "3")


def test_what_is_sent_alone_gets_its_history_in_front(ann: Person, say: Any) -> None:
    say([SYSTEM, *said("one")], "1")
    say(said("two"), "2", [SYSTEM, *said("one", "1", "two")])
    say([OTHER_SYSTEM, *said("three")], "3", [OTHER_SYSTEM, *said("one", "1", "two", "2", "three")])
    say(said("three"), "4", [OTHER_SYSTEM, *said("one", "1", "two", "2", "three", "3", "three")])
    assert ann.told == "history=7"
    assert ann.tree() == linear("one", "1", "two", "2", "three", "3", "three", "4")


# -- branches --------------------------------------------------------------------


def test_an_edited_message_begins_a_branch_that_goes_on(ann: Person, say: Any) -> None:
    say(said("one"), "1")
    say(said("one", "1", "two"), "2")
    say(said("one", "1", "two", "2", "three"), "3")
    say(said("one", "1", "zwei"), "II")
    say(said("one", "1", "zwei", "II", "drei"), "III")
    active = ["u: one", "a: 1", "u: zwei", "a: II", "u: drei", "a: III"]
    old = ["u: one", "a: 1", "u: two", "a: 2", "u: three", "a: 3"]
    assert ann.tree() == Tree(active, [old], 10)


def test_the_first_message_is_edited_and_then_again(ann: Person, say: Any) -> None:
    say(said("one"), "1")
    say(said("one", "1", "two"), "2")
    say(said("eins"), "I")
    say(said("uno"), "i")
    say(said("uno", "i", "due"), "ii")
    old = [["u: one", "a: 1", "u: two", "a: 2"], ["u: eins", "a: I"]]
    assert ann.tree() == Tree(["u: uno", "a: i", "u: due", "a: ii"], old, 10)


def test_an_answer_given_again_stands_beside_the_first(ann: Person, say: Any) -> None:
    say(said("one"), "1")
    say(said("one", "1", "two"), "2")
    say(said("one", "1", "two"), "II")
    say(said("one", "1", "two"), "2")  # the same words as before are no third answer
    assert ann.tree() == Tree(
        ["u: one", "a: 1", "u: two", "a: 2"], [["u: one", "a: 1", "u: two", "a: II"]], 5
    )
    say(said("one"), "I")
    assert ann.tree().active == ["u: one", "a: I"]
    assert ann.tree().count == 6


def test_a_conversation_goes_on_in_two_ways(ann: Person, say: Any) -> None:
    begun = said("one", "1")
    say(begun[:1], "1")
    say([*begun, *said("left")], "L")
    say([*begun, *said("right")], "R")
    say([*begun, *said("left", "L", "further left")], "LL")
    left = ["u: one", "a: 1", "u: left", "a: L", "u: further left", "a: LL"]
    right = ["u: one", "a: 1", "u: right", "a: R"]
    assert ann.tree() == Tree(left, [right], 8)
    say([*begun, *said("right", "R", "further right")], "RR")
    assert ann.tree() == Tree([*right, "u: further right", "a: RR"], [left], 10)


# -- retries ---------------------------------------------------------------------


def test_a_failed_request_leaves_nothing_and_its_retry_is_stored_once(
    ann: Person, say: Any
) -> None:
    say(said("one"), "1")
    for _ in range(2):
        ann.fail(said("two"), Failing(status=400))
    say(said("two"), "2", said("one", "1", "two"))
    ann.fail(said("one", "1", "two", "2", "three"), Failing(status=400))
    say(said("one", "1", "two", "2", "three"), "3")
    assert ann.tree() == linear("one", "1", "two", "2", "three", "3")


@pytest.mark.parametrize("resent", [False, True], ids=["only new", "all"])
def test_an_answer_that_broke_off_stands_beside_that_of_the_retry(
    ann: Person, resent: bool
) -> None:
    messages = said("one", "1", "two") if resent else said("two")
    ann.chat(said("one"), "1")
    for text in ("so f", "so fa"):
        ann.chat(messages, Failing(text=text), stream=True)
        assert ann.backend.prompt == said("one", "1", "two")
    ann.chat(messages, "2", stream=True)
    assert ann.backend.prompt == said("one", "1", "two")
    broken = [["u: one", "a: 1", "u: two", f"a: {text}"] for text in ("so f", "so fa")]
    assert ann.tree() == Tree(["u: one", "a: 1", "u: two", "a: 2"], broken, 6)


@pytest.mark.parametrize("resent", [False, True], ids=["only new", "all"])
def test_a_client_that_ran_out_of_patience_says_nothing_twice(ann: Person, resent: bool) -> None:
    ann.chat(said("one"), "1")
    messages = said("one", "1", "two") if resent else said("two")
    ann.leave(messages, "2", X_Stainless_Retry_Count="0")
    ann.chat(messages, "2", X_Stainless_Retry_Count="1")
    assert ann.backend.prompt == said("one", "1", "two")
    ann.chat(said("one", "1", "two", "2", "three"), "3")
    assert ann.tree() == linear("one", "1", "two", "2", "three", "3")


def test_the_same_words_of_somebody_who_means_them_are_a_next_message(
    ann: Person, say: Any
) -> None:
    say(said("go on"), "1")
    say(said("go on"), "2", said("go on", "1", "go on"))
    assert ann.tree() == linear("go on", "1", "go on", "2")


# -- windows that are full -------------------------------------------------------


@pytest.mark.parametrize("kept", [5, 4, 3, 2], ids=lambda kept: f"keeps {kept}")
def test_a_client_that_drops_its_oldest_messages_goes_on_where_it_was(
    ann: Person, say: Any, kept: int
) -> None:
    told = ["one", "1", "two", "2", "three", "3"]
    for length in (1, 3, 5):
        say([SYSTEM, *said(*told[:length])], told[length])
    for number in range(4, 8):
        told.append(f"more {number}")
        window = told[-kept:]
        begin = "user" if kept % 2 else "assistant"
        say([SYSTEM, *said(*window, begin=begin)], str(number))
        told.append(str(number))
    assert ann.tree() == linear(*told)


def test_a_client_that_keeps_its_first_message_and_drops_the_middle(ann: Person, say: Any) -> None:
    told = ["one", "1", "two", "2", "three", "3"]
    for length in (1, 3, 5):
        say(said(*told[:length]), told[length])
    say(said("one", "1", "three", "3", "four"), "4")
    say([*said("one"), *said("4", "five", begin="assistant")], "5")
    assert ann.tree() == linear(*told, "four", "4", "five", "5")


def test_a_window_on_an_older_branch_and_an_edit_in_a_window(ann: Person, say: Any) -> None:
    for texts, answer in [
        (("one",), "1"),
        (("one", "1", "two"), "2"),
        (("one", "1", "two", "2", "left"), "L"),
        (("two", "2", "right"), "R"),  # edited, with the first turn dropped
        (("left", "L", "further left"), "LL"),  # back on the older branch
        (("left", "L", "further left"), "ll"),  # and answered again
    ]:
        say(said(*texts), answer)
    begun = ["u: one", "a: 1", "u: two", "a: 2"]
    left = [*begun, "u: left", "a: L", "u: further left"]
    others = [[*begun, "u: right", "a: R"], [*left, "a: LL"]]
    assert ann.tree() == Tree([*left, "a: ll"], others, 11)


def test_a_tool_loop_in_a_window(ann: Person, say: Any) -> None:
    function = {"name": "look", "arguments": '{"at": "sky"}'}
    called = {"tool_calls": [{"id": "t1", "type": "function", "function": function}]}
    asks = {"role": "assistant", "content": None, **called}
    result = {"role": "tool", "tool_call_id": "t1", "content": "blue"}
    say(said("hello"), "hi")
    say(said("hello", "hi", "look up"), called)
    say([*said("hello", "hi", "look up"), asks, result], "It is blue.")
    window = [asks, result, *said("It is blue.", "And now?", begin="assistant")]
    say(window, "Still blue.")
    texts = ["u: hello", "a: hi", "u: look up", 'a: look{"at": "sky"}', "t: blue"]
    texts += ["a: It is blue.", "u: And now?", "a: Still blue."]
    assert ann.tree() == Tree(texts, [], len(texts))


def test_content_in_parts_in_a_window(ann: Person, say: Any) -> None:
    shown = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]}
    plain = {"role": "user", "content": [{"type": "text", "text": "Sure?"}]}
    say(said("hello"), "hi")
    say([*said("hello", "hi"), shown], "A cat.")
    say([shown, *said("A cat.", begin="assistant"), plain], "Yes.")
    say(said("A cat.", "Sure?", "Yes.", "Why?", begin="assistant"), "It purrs.")
    texts = ["u: hello", "a: hi", "u: What is it? + image_url", "a: A cat."]
    texts += ["u: Sure?", "a: Yes.", "u: Why?", "a: It purrs."]
    assert ann.tree() == Tree(texts, [], len(texts))


# -- system messages that move ---------------------------------------------------


def test_a_system_message_that_changes_and_goes_makes_no_branch(ann: Person, say: Any) -> None:
    say([SYSTEM, *said("one")], "1")
    say([OTHER_SYSTEM, *said("one", "1", "two")], "2")
    say(said("one", "1", "two", "2", "three"), "3")
    assert ann.tree() == linear("one", "1", "two", "2", "three", "3")
    say(said("one", "1", "two", "2", "three"), "III")
    assert ann.tree().count == 7


@pytest.mark.parametrize("depth", [1, 2, 4], ids=lambda depth: f"{depth} from the end")
def test_a_system_message_that_wanders_to_the_end_makes_no_branch(
    ann: Person, say: Any, depth: int
) -> None:
    told = ["one"]
    say([SYSTEM, *said(*told)], "1")
    for number in range(2, 6):
        told += [str(number - 1), f"more {number}"]
        sent = said(*told)
        say([*sent[:-depth], SYSTEM, *sent[-depth:]], str(number))
    assert ann.tree() == linear(*told, "5")


def test_a_changing_system_message_before_the_last_is_kept_once_each(ann: Person, say: Any) -> None:
    say(said("one"), "1")
    say([*said("one", "1"), SYSTEM, *said("two")], "2")
    say([*said("one", "1", "two", "2"), OTHER_SYSTEM, *said("three")], "3")
    say([*said("one", "1", "two", "2", "three", "3"), SYSTEM, *said("four")], "4")
    texts = ["u: one", "a: 1", "s: Be brief.", "u: two", "a: 2", f"s: {OTHER_SYSTEM['content']}"]
    texts += ["u: three", "a: 3", "u: four", "a: 4"]
    assert ann.tree() == Tree(texts, [], len(texts))
