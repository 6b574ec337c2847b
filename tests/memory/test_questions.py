"""What is looked for: the last thing asked, and what it leans on."""

import time

import pytest

from memory_svc.model import Message
from memory_svc.questions import question_of
from svckit.recalled import marked
from tests.memory.chats import assistant, system, user

TRIP = "We fly to Lisbon with Rosa in the summer"


@pytest.mark.parametrize(
    ("said", "looked_for"),
    [
        (["What did we discuss last week about trading?"], None),
        ([TRIP, "Which restaurants in Berlin did Rosa recommend?"], None),
        ([TRIP, "What is my favourite colour?"], None),
        ([TRIP, "And the hotel?"], "And the hotel? fly lisbon rosa summer"),
        ([TRIP, "Why?"], "Why? fly lisbon rosa summer"),
        (
            [TRIP, "When did she book the hotel?"],
            "When did she book the hotel? fly lisbon rosa summer",
        ),
        ([TRIP, "Thanks!", "It costs how much?"], "It costs how much? fly lisbon rosa summer"),
        ([TRIP, "Tell me more about Rosa"], "Tell me more about Rosa fly lisbon summer"),
        (["Why?"], "Why?"),
        (["Thanks a lot", "And why?"], "And why?"),
    ],
)
def test_what_leans_on_an_earlier_turn_borrows_its_words(said: list[str], looked_for: str | None):
    messages = [m for text in said for m in (user(text), assistant("Indeed, a dragon"))][:-1]
    assert question_of(messages) == (looked_for or said[-1])


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [system("What did we say?")],
        [user(" \n ")],
        [user("Hello!")],
        [user("trading"), assistant("well"), user("ok, thanks")],
    ],
    ids=["nothing", "system", "blank", "greeting", "thanks"],
)
def test_where_nothing_is_asked_nothing_is_looked_for(messages: list[Message]):
    assert question_of(messages) == ""


def test_a_tools_results_are_not_what_is_asked():
    messages = [user("Which port does the staging database use?"), assistant("")]
    messages.append(Message(role="tool", text="ls: no such file", tool_call_id="c"))
    assert question_of(messages) == "Which port does the staging database use?"


def test_code_and_what_agents_wrap_are_left_out():
    text = (
        "<environment_context>\n<cwd>/srv</cwd>\n</environment_context>\n"
        "Why does the parser fail?\n```python\nraise ValueError\n```"
    )
    assert question_of([user(text)]) == "Why does the parser fail?"
    assert question_of([user("```\nmake soak failed\n```")]) == "``` make soak failed ```"


def test_of_a_long_text_both_ends_are_read():
    question = question_of([user(f"Summarise the contract. {'blah ' * 5000} What is the notice?")])
    assert question.startswith("Summarise the contract.")
    assert question.endswith("What is the notice?")
    assert len(question) < 1100


def test_what_lair_recalled_is_not_asked():
    text = marked("- quoted:\n  > the dragon") + "\n\nWhich colour did we choose?"
    assert question_of([user(text)]) == "Which colour did we choose?"


@pytest.mark.parametrize("piece", ["<a>", "```", "<a></b>", "the "])
def test_no_text_takes_long(piece: str):
    begun = time.perf_counter()
    question_of([user(piece * 100_000)])
    assert time.perf_counter() - begun < 1
