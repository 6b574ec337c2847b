"""Which candidates are relevant, and in which order they are returned."""

import random
from dataclasses import replace

import pytest

from memory_svc.model import Candidate
from memory_svc.search import rank
from memory_svc.words import content_words, is_question, normalised

PLAIN = Candidate(1, "c", "", "user", "a text", 0, 0.0, 0, None)


def ids(candidates: list[Candidate], *, words: int = 2, threshold: float = 0.35) -> list[int]:
    return [p.message_id for p in rank(candidates, words=words, threshold=threshold)]


@pytest.mark.parametrize(
    ("words", "matched", "cosine", "relevant"),
    [
        (1, 1, None, True),
        (1, 0, None, False),
        (3, 1, None, False),
        (3, 2, None, True),
        (4, 2, 0.0, True),
        (4, 1, 0.34, False),
        (4, 0, 0.35, True),
        (0, 0, 0.4, True),
        (0, 0, None, False),
    ],
)
def test_half_of_the_words_or_enough_likeness_makes_relevant(
    words: int, matched: int, cosine: float | None, relevant: bool
):
    candidate = replace(PLAIN, matched=matched, bm25=float(matched), cosine=cosine)
    assert bool(ids([candidate], words=words)) is relevant


def test_scores_say_how_well_it_fits_and_not_who_is_best():
    weak = replace(PLAIN, cosine=0.4)
    [passage] = rank([weak], words=3, threshold=0.35)
    assert passage.score == pytest.approx(0.4)
    assert (passage.lexical_score, passage.dense_score) == (0.0, pytest.approx(0.4))


def test_what_was_not_compared_has_no_score():
    [passage] = rank([replace(PLAIN, matched=1, bm25=2.0)], words=1, threshold=0.35)
    assert passage.score == pytest.approx(1.0)
    assert (passage.lexical_score, passage.dense_score) == (1.0, None)
    [passage] = rank([replace(PLAIN, cosine=1.0)], words=0, threshold=0.35)
    assert passage.lexical_score is None


def test_the_same_text_is_returned_once_and_oldest():
    texts = ["Rex is my dog!", "rex  is my dog", "Rex is my cat"]
    candidates = [
        replace(PLAIN, message_id=n, text=text, created_us=10 - n, matched=2, bm25=1.0)
        for n, text in enumerate(texts)
    ]
    assert ids(candidates) == [2, 1]


def test_a_statement_comes_before_a_question_that_fits_alike():
    question = replace(PLAIN, text="Is Rex my dog?", matched=2, bm25=1.0, cosine=0.7)
    statement = replace(question, message_id=2, text="Rex is my dog", created_us=5)
    assert ids([question, statement]) == [2, 1]


def test_noise_of_one_channel_does_not_change_the_order_of_the_other():
    chance = random.Random(1)
    by_words = [
        replace(PLAIN, message_id=n, text=f"text {n}", matched=2, bm25=10.0 - n) for n in range(10)
    ]
    noisy = [replace(each, cosine=chance.uniform(-0.17, 0.17)) for each in by_words]
    assert ids(noisy) == ids(by_words) == list(range(10))


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


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Where is Rex?", True),
        ("Where is Rex? And why?!?", True),
        ("I lost Rex. Where is he?", False),
        ("Where is Rex? He is my dog", False),
        ("???", False),
    ],
)
def test_only_a_text_that_does_nothing_but_ask_is_a_question(text: str, asks: bool):
    assert is_question(text) is asks
