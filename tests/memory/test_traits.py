"""What can be seen of a message without its question."""

import numpy as np
import pytest

from memory_svc.retrieval.traits import (
    ASKS,
    COUNTS,
    DATED,
    HEAD_CHARACTERS,
    MOST_LENGTH,
    names_in,
    traits_of,
)

MARKS = {"asks": ASKS, "dated": DATED, "counts": COUNTS}


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("Nice to see you!", set()),
        ("Where is Rex?", {"asks"}),
        ("Where is Rex?\n[image: a dog]", {"asks"}),
        ("Is it? No.", set()),
        ("We went to Oslo yesterday", {"dated", "counts"}),
        ("I finally finished it", set()),
        ("It has 3 rooms", {"counts"}),
        ("See you in May", {"dated"}),
        ("back in 2019", {"dated", "counts"}),
    ],
)
def test_marks(text: str, marks: set[str]):
    found = traits_of(text).marks
    assert {name for name, mark in MARKS.items() if found & mark} == marks


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Thanks, Ann! Great.", 0),
        ("I think I am", 0),
        ("We saw Rome", 1),
        ("We saw Rome and Rome again", 1),
        ("from Oslo to Rome via Paris and then Bonn, by Tram", 3),
    ],
)
def test_names_are_counted_up_to_three(text: str, names: int):
    marks = traits_of(text).marks
    assert names_in(np.array([marks], dtype=np.uint8)) == [names]
    assert marks < 256


def test_length_is_that_of_the_head():
    assert traits_of("one two, three").length == 3
    assert traits_of("word " * 10_000).length == HEAD_CHARACTERS // 5 < MOST_LENGTH
    assert traits_of("").length == 0
