"""Which words a text is found by."""

import pytest

from memory_svc.words import content_words, findable


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plain words, in English", ""),
        ("see getUserName there", "get User Name"),
        ("parseHTTPResponse2", "parse HTTP Response2"),
        ("HTTP and iPhone", "i Phone"),
        ("我们讨论交易。好", " 我们 们讨 讨论 论交 交易   好 "),
        ("größer", ""),
    ],
)
def test_what_no_sign_separates_is_found_word_by_word(text: str, words: str):
    assert findable(text) == f"{text} {words}" if words else findable(text) == text


def test_a_question_in_a_script_without_spaces_has_pairs_of_signs():
    assert content_words("什么股票?") == ("什么", "么股", "股票")
    assert content_words("昨日の雨") == ("昨日", "日の", "の雨")
    assert content_words("犬") == ("犬",)
