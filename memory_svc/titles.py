"""What a conversation is called until its user names it: the first line that says something.

No greeting does, no code, nothing that an agent wrote (`boilerplate`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from memory_svc.boilerplate import is_set_phrase, own_words
from memory_svc.model import Message
from memory_svc.tree import text_of
from memory_svc.words import normalised

MAX_TITLE = 80
# Shorter than that a line is not cut to end with a word.
_LEAST_AT_A_WORD = 50
_WORTH_READING = 20_000  # characters

_FENCED = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)
_FENCES = ("```", "~~~")
_QUOTES = "\"'“”„«» "
_MARKS = f"#>*-`{_QUOTES}"
_GREETINGS = frozenset(
    """
    hi hello hey hiya howdy yo greetings good morning afternoon evening day welcome thanks thank
    please ok okay there again all everybody everyone team friend assistant bot ai chatgpt gpt
    claude codex gemini lair llama qwen you are how test testing ping
    hallo moin servus guten tag morgen abend bonjour bonsoir salut hola buenos buenas dias días
    tardes ciao buongiorno ola olá oi hej hei hallå ahoj cześć привет здравствуйте merhaba salam
    你好 您好 こんにちは 안녕하세요 안녕
    """.split()  # noqa: SIM905  # reads best as running words
)
_JOINER = "\u200d"
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)


def title_of(messages: Iterable[Message]) -> str:
    """Return the first line of the user that says something; empty where none does."""
    said = (text_of(message) for message in messages if message.role == "user")
    return next(filter(None, (_title(text) for text in said)), "")


def _title(text: str) -> str:
    spoken = own_words(text[:_WORTH_READING])
    lines = (*_FENCED.sub("\n", spoken).splitlines(), *spoken.splitlines())
    return next(filter(None, map(_meaningful, lines)), "")


def _meaningful(line: str) -> str:
    """Return a line without Markdown's marks and cut to size; empty if it says nothing."""
    if is_set_phrase(line) or line.lstrip().startswith(_FENCES):
        return ""
    shown = "".join(_printable(line)).replace("**", "").strip().lstrip(_MARKS).rstrip(_QUOTES)
    shown = " ".join(shown.split())
    words = normalised(shown).split()
    return "" if _GREETINGS.issuperset(words) else _cut(shown)


def _printable(line: str) -> Iterator[str]:
    """Yield the characters that can be shown; what turns the writing round is none."""
    for character in line:
        if character.isprintable() or character == _JOINER:
            yield character
        elif character.isspace():
            yield " "


def _cut(line: str) -> str:
    """Shorten a line, at a word if that leaves enough, and inside no character."""
    if len(line) <= MAX_TITLE:
        return line
    end = MAX_TITLE - 1
    at_word = line.rfind(" ", _LEAST_AT_A_WORD, end + 1)
    if at_word > 0:
        return line[:at_word].rstrip() + "…"
    while end and _belongs_together(line, end):
        end -= 1
    return line[: end or MAX_TITLE - 1] + "…"


def _belongs_together(line: str, place: int) -> bool:
    """Tell whether what stands before and behind `place` is seen as one character."""
    behind = line[place]
    if ord(behind) in _FLAG_LETTERS:  # two of them are a flag
        before = place
        while before and ord(line[before - 1]) in _FLAG_LETTERS:
            before -= 1
        return (place - before) % 2 == 1
    joins = unicodedata.category(behind)[0] == "M" or ord(behind) in _SKIN_TONES
    return joins or _JOINER in (behind, line[place - 1])
