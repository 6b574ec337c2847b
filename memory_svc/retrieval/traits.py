"""What can be seen of a message without its question: its length, and how much it tells.

Marks are kept with each message, so that a search need not read its text. The patterns
are English; a text in another language merely gets none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from memory_svc.retrieval.evidence import Marks

# Of a long answer the beginning says what it is about; about 150 words.
HEAD_CHARACTERS = 900
MOST_LENGTH = 65_535

ASKS = 1  # a line of it ends in a question
DATED = 2  # says when something was or will be
COUNTS = 4  # has a number, or a word of order
_NAMES_SHIFT = 4  # two bits: how many things it calls by name, at most 3
MOST_NAMES = 3

_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_ASKS = re.compile(r"\?\s*$", re.MULTILINE)
_DATED = re.compile(
    rf"\b(yesterday|today|tonight|tomorrow|ago|recently|since|years?|\d{{4}}|{_MONTHS}"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|last (week|month|year|night|weekend|spring|summer|fall|winter)"
    r"|next (week|month|year|weekend)|this (week|month|weekend|year|morning)"
    r"|(two|three|few|couple).{0,8}(days|weeks|months))\b",
    re.IGNORECASE,
)
_COUNTS = re.compile(
    r"\d|\b(first|second|third|two|three|four|five|six|seven|last|yesterday|recently|just)\b",
    re.IGNORECASE,
)
# After a comma stands whom one speaks to; at the beginning of a sentence any word.
_NAME = re.compile(r"(?<=[a-z] )(?!I\b)[A-Z][a-z]+")


@dataclass(frozen=True, slots=True)
class Traits:
    """A message's words in its head, and its marks."""

    length: int
    marks: int


def traits_of(text: str) -> Traits:
    """Read a text's traits off its head."""
    head = text[:HEAD_CHARACTERS]
    marks = 0
    for mark, pattern in ((ASKS, _ASKS), (DATED, _DATED), (COUNTS, _COUNTS)):
        marks |= mark if pattern.search(head) else 0
    names = min(len(set(_NAME.findall(head))), MOST_NAMES)
    length = min(len(re.findall(r"\w+", head)), MOST_LENGTH)
    return Traits(length, marks | names << _NAMES_SHIFT)


def names_in(marks: Marks) -> Marks:
    """Return how many names the marks of each message count."""
    return np.right_shift(marks, _NAMES_SHIFT, dtype=np.uint8)
