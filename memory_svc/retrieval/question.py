"""A question taken apart: its words, whom it names, which times it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from memory_svc.retrieval.dates import Time, times_in
from memory_svc.words import content_words, normalised

_ASKS_WHEN = re.compile(r"\s*(when|how long|what (date|day|year|month))\b", re.IGNORECASE)
# What has such a sign between its letters is found as it stands, not only in its parts.
_IDENTIFIER = re.compile(r"\w+(?:(?:[._/:@#-]|::|->)+\w+)+")
_MOST_PHRASES = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `bare` is the text without the names of who speaks in the memory.

    Those names would outweigh the rest of a short text's meaning, and say only whose
    words to prefer: `named`, unless there are several.
    """

    text: str
    bare: str
    words: tuple[str, ...]
    phrases: tuple[str, ...] = ()
    named: str = ""
    asks_when: bool = False
    times: tuple[Time, ...] = ()


def read_question(text: str, speakers: Iterable[str], now_us: int) -> Question:
    """Take a question apart, given who speaks in the memory."""
    named = [name for name in speakers if name and _names(name, text)]
    bare = _without(named, text)
    names = {word for name in named for word in normalised(name).split()}
    words = content_words(text)
    return Question(
        text=text,
        bare=bare,
        words=tuple(word for word in words if word not in names) or words,
        phrases=tuple(dict.fromkeys(_IDENTIFIER.findall(text)))[:_MOST_PHRASES],
        named=named[0] if len(named) == 1 else "",
        asks_when=bool(_ASKS_WHEN.match(text)),
        times=times_in(text, now_us),
    )


def _names(name: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) is not None


def _without(names: Iterable[str], text: str) -> str:
    pattern = "|".join(map(re.escape, names))
    if not pattern:
        return text
    return re.sub(rf"\b({pattern})('s|\u2019s)?\b", "", text, flags=re.IGNORECASE).strip() or text
