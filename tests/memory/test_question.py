"""How a question is taken apart."""

import pytest

from memory_svc.retrieval.question import read_question

SPEAKERS = ("Caroline", "Melanie", "Mary Ann")


def test_the_only_speaker_whom_it_names_is_noted_and_left_out():
    question = read_question("What did Caroline's dog eat?", SPEAKERS, 0)
    assert question.named == "Caroline"
    assert question.bare == "What did  dog eat?"
    assert question.words == ("dog", "eat")


def test_of_several_speakers_none_is_preferred():
    question = read_question("Where did Caroline meet melanie?", SPEAKERS, 0)
    assert question.named == ""
    assert question.words == ("meet",)


def test_names_of_several_words_are_known():
    question = read_question("mary ann's dog", SPEAKERS, 0)
    assert (question.named, question.words) == ("Mary Ann", ("dog",))


def test_a_question_of_names_alone_keeps_them():
    question = read_question("Caroline", SPEAKERS, 0)
    assert (question.words, question.bare, question.named) == (
        ("caroline",),
        "Caroline",
        "Caroline",
    )


def test_without_speakers_nothing_is_left_out():
    question = read_question("What did Caroline's dog eat?", (), 0)
    assert (question.named, question.bare) == ("", question.text)
    assert question.words == ("caroline", "dog", "eat")


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("what does parse_config_v2 do?", ("parse_config_v2",)),
        ("error in router_svc/main.py and std::vec", ("router_svc/main.py", "std::vec")),
        ("issue-12 by a@b.org", ("issue-12", "a@b.org")),
        ("plain words. And more: yes", ()),
    ],
)
def test_identifiers_are_phrases(text: str, phrases: tuple[str, ...]):
    assert read_question(text, (), 0).phrases == phrases


@pytest.mark.parametrize(
    ("text", "asks"),
    [("When did we meet?", True), ("How long is it?", True), ("Who knows when?", False)],
)
def test_asking_when_is_seen_at_the_beginning(text: str, asks: bool):
    assert read_question(text, (), 0).asks_when is asks
