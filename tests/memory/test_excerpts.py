"""Of a long text, the part that answers."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_svc.excerpts import excerpt

LONG = " ".join(
    [
        *(f"Sentence {n} is about the garden." for n in range(40)),
        "We sold the Brompton bicycle in Utrecht.",
        "It had been red.",
        *(f"Sentence {n} is about the kitchen." for n in range(40)),
    ]
)


def test_a_short_text_stays_whole():
    assert excerpt(" as\n\nit is \n", ["garden"], 100) == "as\n\nit is"


def test_the_part_with_the_words_is_chosen_and_gaps_are_shown():
    part = excerpt(LONG, ["bicycle", "utrecht"], 120)
    assert "We sold the Brompton bicycle in Utrecht. It had been red." in part
    assert (part[:2], part[-2:]) == ("… ", " …")


def test_other_forms_of_a_word_count():
    assert "Brompton" in excerpt(LONG, ["bicycles", "selling"], 120)


def test_where_no_word_fits_the_beginning_is_taken():
    part = excerpt(LONG, ["zebra"], 120)
    assert part.startswith("Sentence 0 is about the garden.")
    assert part.endswith(" …")


def test_lines_keep_their_form():
    text = "first\n\n  def trade():\n      return 1\n\n" + "filler\n" * 100
    assert "def trade():\n      return 1" in excerpt(text, ["trade"], 80)


@pytest.mark.parametrize("text", ["x" * 5000, "犬" * 5000, "a " * 5000])
def test_what_has_no_sentences_is_cut_as_well(text: str):
    part = excerpt(text, [], 100)
    assert 50 < len(part.encode()) <= 100
    assert part.startswith(text[0])


@given(st.text(max_size=400), st.lists(st.text(max_size=8)), st.integers(20, 300))
def test_it_never_takes_more_than_its_size(text: str, words: list[str], size: int):
    assert len(excerpt(text, words, size).encode()) <= size


def test_a_very_long_text_takes_no_time():
    begun = time.perf_counter()
    excerpt("no end " * 15_000, ["end"], 500)
    assert time.perf_counter() - begun < 2
