"""How a question is taken apart."""

import pytest

from memory_svc.retrieval.question import read_question

SPEAKERS = ("Caroline", "Melanie", "Mary Ann")


def test_the_only_speaker_whom_it_names_is_noted_and_left_out():
    question = read_question("What did Caroline's dog eat?", SPEAKERS, 0)
    assert question.named == "Caroline"
    assert question.bare == "What did  dog eat?"
    assert question.words == ("dog", "eat")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Where did caroline meet Melanie?", "Caroline"),
        ("What did Melanie say about Caroline's dog?", "Melanie"),
        ("What did Caroline's dog do to Melanie?", "Melanie"),
        ("Where did Caroline and Melanie meet?", ""),
        ("Which pets do Caroline, Melanie and Mary Ann like?", ""),
        ("Is Caroline's dog like Melanie's?", ""),
        ("When did Caroline say that Caroline left?", "Caroline"),
    ],
)
def test_of_several_speakers_the_first_that_owns_nothing_is_asked_for(text: str, named: str):
    question = read_question(text, SPEAKERS, 0)
    assert question.named == named
    assert not {"caroline", "melanie"} & set(question.words)


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("Which framework did I choose?", "user"),
        ("When is my deadline?", "user"),
        ("Which book did you recommend to me?", "assistant"),
        ("the list you gave me", "assistant"),
        ("Could you write a haiku?", ""),
        ("Which US cities are large?", ""),
        ("Can you list the planets?", ""),
        ("What was your advice on taxes?", "assistant"),
        ("What is the capital of Peru?", ""),
    ],
)
def test_i_and_you_say_whose_words_are_asked_for(text: str, role: str):
    assert read_question(text, (), 0).role == role


@pytest.mark.parametrize(
    ("text", "personal"),
    [
        ("Which framework did I choose?", True),
        ("What did you recommend?", True),
        ("What did Caroline choose?", True),
        ("How do I center a div?", False),
        ("Can you write a function for me?", False),
        ("Show me how to sort a list", False),
        ("What should I know about my tax?", True),
    ],
)
def test_what_only_a_memory_answers_is_personal(text: str, personal: bool):
    assert read_question(text, SPEAKERS, 0).personal is personal


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What did we discuss last week about trading?", ("trading",)),
        ("what did I eat two days ago", ("eat",)),
        ("What did we talk about yesterday?", ()),
        ("What was due on 5 May 2023?", ("due", "5", "2023")),
    ],
)
def test_how_long_ago_is_no_word_to_look_for_and_a_date_is(text: str, words: tuple[str, ...]):
    assert read_question(text, (), 0).words == words


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
