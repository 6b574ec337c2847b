"""Which candidates are relevant, and in which order they are returned."""

from typing import Any

import pytest

from memory_svc.retrieval.dates import Time
from memory_svc.retrieval.evidence import Evidence
from memory_svc.retrieval.question import Question
from memory_svc.retrieval.traits import ASKS, DATED, traits_of
from memory_svc.search import rank
from memory_svc.words import content_words, normalised
from tests.memory.evidences import by_meaning, by_words, evidence

PLAIN = Question("?", "?", ())


def ids(found: Evidence, question: Question = PLAIN, *, threshold: float = 0.35) -> list[int]:
    return [each.message_id for each in rank(found, question, threshold=threshold)]


@pytest.mark.parametrize(
    ("words", "matched", "cosine", "relevant"),
    [
        (1, 1, None, True),
        (1, 0, None, False),
        (3, 1, None, False),
        (5, 2, None, True),
        (4, 4, 0.0, True),
        (4, 2, 0.3, False),
        (4, 2, 0.35, True),
        (4, 0, 0.4, False),
        (4, 0, 0.45, True),
        (0, 0, 0.36, True),
        (0, 0, None, False),
    ],
)
def test_relevant_is_what_fits_by_meaning_and_by_words(
    words: int, matched: int, cosine: float | None, relevant: bool
):
    candidate = by_words(matched, words=max(words, 1)) | by_meaning(cosine or 0.0)
    found = evidence(candidate, words=words, compared=cosine is not None)
    assert bool(ids(found)) is relevant


@pytest.mark.parametrize("cosine", [0.01, 0.3, 0.99])
def test_a_threshold_of_0_finds_whatever_fits_best_and_1_nothing(cosine: float):
    found = evidence(by_words(1, words=2) | by_meaning(cosine))
    assert ids(found, threshold=0) == [0]
    assert ids(found, threshold=1) == []


def test_even_a_threshold_of_0_finds_nothing_where_nothing_fits():
    assert ids(evidence({}, by_meaning(-0.2)), threshold=0) == []


def test_an_answer_beside_what_was_asked_for_is_found_and_small_talk_is_not():
    asked = by_words(2) | by_meaning(0.6)
    answer: dict[str, Any] = {"window": 2.0, "coverage": 1.0, "near": 0.2, "around": 0.5}
    small_talk = answer | {"near": 0.0}
    assert ids(evidence(asked, answer, small_talk)) == [0, 1]


def test_what_fits_much_less_than_the_best_is_left_out():
    best = by_words(2) | by_meaning(0.8)
    found = evidence(best, by_words(1) | by_meaning(0.2), by_meaning(0.2))
    assert ids(found) == [0, 1]


def test_what_is_asked_by_time_alone_is_what_was_said_then():
    day = 86_400_000_000
    then = Question("?", "?", (), times=(Time(100 * day, 2 * day),))
    found = evidence(
        {"created_us": 100 * day}, {"created_us": 101 * day}, {"created_us": 90 * day}, words=0
    )
    assert ids(found, then) == [0, 1]


def test_scores_say_how_well_it_fits_and_not_who_is_best():
    [ranked] = rank(evidence(by_meaning(0.5), words=3), PLAIN, threshold=0.35)
    assert ranked.score == pytest.approx(0.4)
    assert (ranked.lexical_score, ranked.dense_score) == (0.0, pytest.approx(0.5))


def test_what_was_not_compared_has_no_score():
    [ranked] = rank(evidence(by_words(1, words=1), words=1, compared=False), PLAIN, threshold=0.35)
    assert ranked.score == pytest.approx(1.0)
    assert (ranked.lexical_score, ranked.dense_score) == (1.0, None)
    [ranked] = rank(evidence(by_meaning(1.0), words=0), PLAIN, threshold=0.35)
    assert ranked.lexical_score is None


def test_of_equals_the_older_comes_first():
    found = evidence(by_words(2, created_us=5, id=1), by_words(2, created_us=4, id=2))
    assert ids(found) == [2, 1]


def prefers(better: dict[str, Any], worse: dict[str, Any], question: Question = PLAIN) -> bool:
    both = by_words(2) | by_meaning(0.6)
    return ids(evidence(both | worse, both | better), question) == [1, 0]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({}, {"marks": ASKS}),
        ({"by_named": True}, {}),
        ({"asked": 0.5}, {}),
        ({"marks": traits_of("we met in Oslo and in Rome").marks}, {}),
        ({"marks": traits_of("three of them").marks}, {}),
    ],
    ids=["statement", "named", "answer", "names", "numbers"],
)
def test_priors_decide_between_equals(better: dict[str, Any], worse: dict[str, Any]):
    assert prefers(better, worse)


def test_a_time_is_preferred_only_where_the_question_asks_for_it():
    when = Question("When?", "When?", (), asks_when=True)
    assert prefers({"marks": DATED}, {}, when)
    assert not prefers({"marks": DATED}, {})
    day = 86_400_000_000
    in_may = Question("In May?", "In May?", ("may",), times=(Time(100 * day, 10 * day),))
    assert prefers({"created_us": 103 * day}, {"created_us": 90 * day}, in_may)
    assert not prefers({"created_us": 103 * day}, {"created_us": 90 * day})


def test_a_prior_does_not_outweigh_what_both_channels_say():
    good, bad = by_words(2) | by_meaning(0.6), by_words(1) | by_meaning(0.3)
    assert ids(evidence(good, bad | {"by_named": True, "asked": 0.3})) == [0, 1]


def test_a_conversation_with_more_that_fits_comes_first():
    fits, alone = by_words(2), {"conversations": 2}
    found = evidence(
        *(fits | alone, {"id": 8} | alone, {"id": 9} | alone),
        *(fits | {"id": 5}, by_words(1, id=6), by_words(1, id=7)),
    )
    assert ids(found)[:2] == [5, 0]


@pytest.mark.parametrize(("role", "first"), [("", 0), ("user", 1), ("assistant", 0)])
def test_whose_words_a_question_asks_for_is_preferred(role: str, first: int):
    both = by_words(2) | by_meaning(0.6)
    question = Question("?", "?", (), role=role)
    assert ids(evidence(both, both | {"by_user": True}), question)[0] == first


def test_a_persons_own_words_are_preferred_among_long_messages_only():
    both = by_words(2) | by_meaning(0.6)
    for mean_length, first in ((20.0, 0), (120.0, 1)):
        assert ids(evidence(both, both | {"by_user": True}, mean_length=mean_length))[0] == first


def test_content_words_leave_out_what_carries_no_content():
    assert content_words("What is the NAME of my dog's vet, Dr. Müller?") == (
        "name",
        "dog",
        "vet",
        "dr",
        "müller",
    )
    assert content_words("who are you?") == ()
    assert len(content_words(" ".join(f"word{n}" for n in range(100)))) == 32


def test_normalised_texts_have_only_their_words():
    assert normalised(" Hello,\nWORLD!! ") == "hello world"
