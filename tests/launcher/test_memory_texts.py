"""What is shown of what was said."""

from __future__ import annotations

import pytest

from launcher.memory.texts import excerpt, one_line, printable, words_of


@pytest.mark.parametrize("place", [0, 5, 90, 100, 110, 500, 890, 900, 985, 994])
def test_an_excerpt_has_the_first_match_wherever_it_stands(place: int) -> None:
    text = "." * place + "matcha" + "." * (994 - place)
    cut = excerpt(text, words_of("matcha"), 100)
    assert "matcha" in cut
    assert len(cut.strip("…")) == 100
    assert cut.startswith("…") == (not text.startswith(cut[:100]))
    assert cut.endswith("…") == (not text.endswith(cut[-100:]))


def test_without_a_match_the_beginning_is_shown() -> None:
    assert excerpt("abc" * 100, words_of("matcha"), 6) == "abcabc…"
    assert excerpt("abc" * 100, None, 6) == "abcabc…"
    assert excerpt("abc", None, 6) == "abc"


@pytest.mark.parametrize(
    ("question", "text", "marked"),
    [
        ("green tea", "Teas, greener TEA; a team", ["Teas", "greener", "TEA", "team"]),
        ("is it C++?", "it is", []),
        ("parse_config_v2", "call parse_config_v2()", ["parse_config_v2"]),
        ("straße", "Straßenbahn", ["Straßenbahn"]),
        ("a.b (c", "anything", []),
    ],
)
def test_words_are_marked_and_what_begins_with_them(
    question: str, text: str, marked: list[str]
) -> None:
    found = words_of(question)
    assert (found.findall(text) if found else []) == marked


def test_nothing_steers_a_terminal() -> None:
    assert printable("a\x1b[31m\tb\r\nc\u202e\x00") == "a[31m\tb\nc"
    assert one_line("a\n\n b\x07\tc ") == "a b c"
