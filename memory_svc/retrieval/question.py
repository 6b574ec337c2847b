"""A question taken apart: its words, whose words it asks for, which times it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from memory_svc.retrieval.dates import Time, times_in, without_relative_times
from memory_svc.words import content_words, normalised

_ASKS_WHEN = re.compile(r"\s*(when|how long|what (date|day|year|month))\b", re.IGNORECASE)
# What has such a sign between its letters is found as it stands, not only in its parts.
_IDENTIFIER = re.compile(r"\w+(?:(?:[._/:@#-]|::|->)+\w+)+")
_MOST_PHRASES = 8

# What a model said before, what the person said, and what anybody might ask of a model.
_OF_THE_MODEL = re.compile(
    r"\bdid you\b|\byou('ve|'d| had| have)? (said|told|gave|wrote)\b"
    r"|\byou('ve|'d| had| have)? (advis|explain|list|mention|propos|recommend|suggest)ed\b"
    r"|\byour (advice|answer|list|recommendation|reply|suggestion)",
    re.IGNORECASE,
)
_OF_THE_PERSON = re.compile(r"\b(i|my|mine|me|myself|we|our|ours)\b", re.IGNORECASE)
_HOW_TO = re.compile(
    r"\b(can|could|do|may|might|must|shall|should|would) (i|we)\b|\b(for|give|help|show|tell) me\b",
    re.IGNORECASE,
)
_JOINED = re.compile(r"\W*(,|&|and|or)?\W*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `bare` is the text without the names of who speaks in the memory.

    Those names would outweigh the rest of a short text's meaning, and say only whose words to
    prefer: `named` is the one whom it is about. Where the question says "I" or "you", it is
    about what one `role` said. It is `personal` if it is of a kind that only a memory answers.
    """

    text: str
    bare: str
    words: tuple[str, ...]
    phrases: tuple[str, ...] = ()
    named: str = ""
    role: str = ""
    personal: bool = False
    asks_when: bool = False
    times: tuple[Time, ...] = ()


def read_question(text: str, speakers: Iterable[str], now_us: int) -> Question:
    """Take a question apart, given who speaks in the memory."""
    by_name = {name.casefold(): name for name in speakers if name}
    called = list(_names(by_name).finditer(text)) if by_name else []
    bare = _names(by_name).sub("", text).strip() if called else text
    times = times_in(text, now_us)
    role = _role(text)
    return Question(
        text=text,
        bare=bare or text,
        words=_words(text, called, times),
        phrases=tuple(dict.fromkeys(_IDENTIFIER.findall(text)))[:_MOST_PHRASES],
        named=by_name.get(_subject(text, called).casefold(), ""),
        role=role,
        personal=bool(called) or role == "assistant" or _is_of_the_person(text),
        asks_when=bool(_ASKS_WHEN.match(text)),
        times=times,
    )


def _names(names: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(names, key=len, reverse=True)
    any_of_them = "|".join(map(re.escape, longest_first))
    return re.compile(rf"\b({any_of_them})('s|\u2019s)?\b", re.IGNORECASE)


def _words(text: str, called: Sequence[re.Match[str]], times: Sequence[Time]) -> tuple[str, ...]:
    """Return the words to look for, without "last week" and, if there are others, names."""
    words = content_words(without_relative_times(text) if times else text)
    names = {word for name in called for word in normalised(name[1]).split()}
    return tuple(word for word in words if word not in names) or words


def _subject(text: str, called: Sequence[re.Match[str]]) -> str:
    """Return whose words are asked for: of several names the first that owns nothing.

    "What did Ann say about Bob's dog?" asks for Ann's; "… Ann and Bob …" for nobody's.
    """
    if len({name[1].casefold() for name in called}) <= 1:
        return called[0][1] if called else ""
    for one, other in pairwise(called):
        if _JOINED.fullmatch(text[one.end() : other.start()]):
            return ""
    return next((name[1] for name in called if not name[2]), "")


def _role(text: str) -> str:
    if _OF_THE_MODEL.search(text):
        return "assistant"
    return "user" if _OF_THE_PERSON.search(text) else ""


def _is_of_the_person(text: str) -> bool:
    return _OF_THE_PERSON.search(_HOW_TO.sub(" ", text)) is not None
