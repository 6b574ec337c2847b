"""The question that the past is searched with, made of a prompt's messages. Pure.

It is what the user says last. Where that leans on what was said before ("and in May?",
"why did she?"), it gets the content words of the turn before it. How well a passage
answers it is `search.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from memory_svc.boilerplate import own_words
from memory_svc.model import Message
from memory_svc.tree import text_of
from memory_svc.words import content_words, normalised
from svckit.recalled import without_recalled

# What is longer was pasted: what is asked stands at its beginning or its end.
_LONGEST = 1000
_WORTH_READING = 20_000  # half of it from each end
_MOST_BORROWED = 6
_MOST_TURNS_BACK = 3
# Fewer content words name no subject.
_LEAST_WORDS = 2
# With more of them a pronoun speaks of the question's own subject.
_MOST_WORDS_OF_A_PRONOUN = 3

_POINTERS = frozenset(
    {"it", "its", "he", "him", "his", "she", "her", "hers", "they", "them", "their", "theirs"}
    | {"this", "that", "these", "those", "one", "ones"}
)
_CONNECTIVES = frozenset({"and", "also", "but", "or", "so", "then", "else"})
_COURTESIES = frozenset(
    {"hi", "hello", "hey", "good", "morning", "afternoon", "evening", "night", "day", "bye"}
    | {"goodbye", "thank", "thanks", "ok", "okay", "sure", "great", "nice", "cool", "perfect"}
    | {"continue", "fine", "helpful", "lair", "welcome"}
)

# Code, and what agents wrap in tags, says little of what is asked.
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


def question_of(messages: Sequence[Message]) -> str:
    """Return what to look for; empty where the user says nothing to look for."""
    turns = [text for text in map(_said, messages) if text]
    if not turns:
        return ""
    *earlier, asked = turns
    words = content_words(asked)
    if words and _COURTESIES.issuperset(words):
        return ""
    if not _leans_on_the_past(asked, words):
        return asked
    return " ".join((asked, *_borrowed(earlier, words)))


def _said(message: Message) -> str:
    """Return the gist of what a user says; '' for others."""
    if message.role != "user":
        return ""
    text = _ends(without_recalled(text_of(message)), _WORTH_READING)
    gist = _FENCED.sub(" ", own_words(text))
    return _ends(" ".join((gist if gist.strip() else text).split()), _LONGEST)


def _ends(text: str, length: int) -> str:
    """Leave the middle out of what is longer."""
    return text if len(text) <= length else f"{text[: length // 2]} {text[-length // 2 :]}"


def _leans_on_the_past(asked: str, words: Sequence[str]) -> bool:
    spoken = normalised(asked).split()
    if len(words) < _LEAST_WORDS or spoken[0] in _POINTERS | _CONNECTIVES:
        return True
    return len(words) <= _MOST_WORDS_OF_A_PRONOUN and not _POINTERS.isdisjoint(spoken)


def _borrowed(earlier: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the longest content words of the last turn that has a subject, in its order."""
    for text in list(reversed(earlier))[:_MOST_TURNS_BACK]:
        words = [word for word in content_words(text) if word not in _COURTESIES]
        if len(words) >= _LEAST_WORDS:
            longest = sorted(words, key=len, reverse=True)[:_MOST_BORROWED]
            return [word for word in words if word in longest and word not in known]
    return []
