"""The words of a question that carry its content, as FTS5's unicode61 splits them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

MAX_WORDS = 32
# Written without spaces: kana, Chinese signs, Hangul, Thai and its neighbours.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7af\uf900-\ufaff]+"
)
_JOINT = re.compile(r"[a-z][A-Z]")
_WORD = re.compile(r"[A-Za-z0-9]+")
_LONGEST_HUMPED = 64  # what is longer is data, and no name
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")

# English function words and the words of asking. What is left names the subject.
STOP_WORDS = frozenset(
    """
    a about above after again against all also am an and any are as at be because been before
    being below between both but by can could did do does doing done down during each either else
    ever few for from further get gets getting give go going got had has have having he her here
    hers herself him himself his how i if in into is it its itself just let like made make many
    may me might more most much must my myself near neither no nor not now of off on once one only
    or other our ours ourselves out over own please really said same say says see shall she should
    show since so some something still such tell than that the their theirs them themselves then
    there these they thing things this those though through to told too under until up upon us
    very was we were what when where whether which while who whom whose why will with within
    without would yes yet you your yours yourself yourselves
    chat chats chatted conversation conversations discuss discussed discussing mention mentioned
    recall recalled remember remind reminded talk talked talking
    ain aren couldn d didn doesn don hadn hasn haven isn ll m mightn mustn re s shan shouldn t ve
    wasn weren won wouldn
    """.split()  # noqa: SIM905  # reads best as running words
)


def content_words(question: str) -> tuple[str, ...]:
    """Return the distinct content words in order, at most `MAX_WORDS`."""
    words = dict.fromkeys(_tokens(_UNSPACED.sub(_in_pairs, question)))
    return tuple(word for word in words if word not in STOP_WORDS)[:MAX_WORDS]


def findable(text: str) -> str:
    """Return a text with the words in it that no sign separates behind it.

    They are pairs of signs where a script has no spaces, and the parts of camelCase.
    """
    pairs = [] if text.isascii() else map(_in_pairs, _UNSPACED.finditer(text))
    return " ".join((text, *pairs, *_humps(text)))


def _humps(text: str) -> Iterator[str]:
    # One search for a whole word with a joint in it would be quadratic in long words.
    if _JOINT.search(text):
        for word in _WORD.findall(text):
            if len(word) <= _LONGEST_HUMPED and _JOINT.search(word):
                yield from _HUMP.findall(word)


def normalised(text: str) -> str:
    """Return a text's words alone: two texts with the same words say the same."""
    return " ".join(_tokens(text))


def _in_pairs(run: re.Match[str]) -> str:
    """Set the pairs of neighbours in a run of signs apart, or the only sign."""
    signs = run[0]
    return f" {' '.join(map(''.join, pairwise(signs))) or signs} "


def _tokens(text: str) -> list[str]:
    """Split where unicode61 does: at all but letters, marks and numbers."""
    if text.isascii():
        return _ASCII_TOKEN.findall(text.lower())
    kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in text.casefold())
    return "".join(kept).split()
