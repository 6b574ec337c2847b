"""Slices are short, whole, and of texts of about one length."""

from hypothesis import given
from hypothesis import strategies as st

from memory_svc.embedding.slices import slices


@given(st.lists(st.text(max_size=400), max_size=60))
def test_every_text_is_in_one_slice_and_no_slice_is_long(texts: list[str]):
    parts = list(slices(texts))
    assert sorted(place for part in parts for place in part) == list(range(len(texts)))
    for part in parts:
        longest = max(len(texts[place].encode()) for place in part)
        assert len(part) == 1 or len(part) * longest <= 1000
        assert len(part) <= 8


def test_short_texts_go_together_and_a_long_one_by_itself():
    texts = ["x" * 5000, "a", "b" * 20, "c" * 900, "d" * 21]
    assert list(slices(texts)) == [[1, 2, 4], [3], [0]]


def test_characters_of_other_scripts_count_for_what_they_cost():
    assert [len(part) for part in slices(["股票交易" * 50] * 4)] == [1, 1, 1, 1]
    assert [len(part) for part in slices(["abcd" * 50] * 4)] == [4]
