"""What of a text is embedded, and in which parts."""

import pytest

from memory_svc.speech import beginning, part, parts

FACT = "The spare key is under the third flower pot."
LONG = " ".join(["So it went on and on."] * 340 + [FACT] + ["And so it ended at last."] * 340)


def test_code_and_blobs_are_left_out():
    text = f"Look: ```x = 1``` and {'aGVsbG8' * 20} here."
    assert beginning(text, 150) == "Look: and here."


def test_where_there_is_nothing_else_code_is_read():
    assert beginning("```x = 1```", 150) == "```x = 1```"


def test_a_long_text_without_spaces_is_speech():
    text = "我们讨论了股票交易。" * 20
    assert beginning(text, 150) == text


def test_only_the_first_words_are_the_beginning():
    assert beginning(LONG, 4) == "So it went on"


@pytest.mark.parametrize("text", ["", "short", "x" * 900, "word " * 180])
def test_a_short_text_has_no_parts(text: str):
    assert parts(text) == []


def test_every_sentence_stands_whole_in_some_part():
    numbers = parts(LONG)
    assert numbers == list(range(16))
    assert sum(FACT in part(LONG, n) for n in numbers) >= 1
    assert max(len(part(LONG, n)) for n in numbers) <= 1120


def test_what_stands_in_code_alone_is_no_part():
    text = "word " * 200 + "```" + "x = 1\n" * 1000 + "```" + FACT * 3
    first, last = parts(text)
    assert part(text, first).startswith("word")
    assert FACT in part(text, last)


def test_a_book_has_as_many_parts_as_are_read():
    assert len(parts("word " * 100_000)) == 24
