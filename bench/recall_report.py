"""The section of docs/performance.md on what bench/locomo.py and bench/abstention.py found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.locomo import BARS, DATA, METRICS
from bench.tables import table
from svckit.settings import Memory

_NAMES = {"words": "words alone", "meaning": "meaning alone", "shipped": "both, as it is used"}
_HEAD = tuple(name.replace("N@", "NDCG@") for name in METRICS)
_RANDOM, _NO_WORDS, _MADE_UP = " random vectors", " no words", "made-up"
_GROUPS = ("single-hop", "multi-hop", "temporal", "open-domain")
# What may be lost where one channel says nothing (issue 5), in points.
_MOST_LOST = 2.0

_METHOD = """\
## What memory finds

`bench/locomo.py` stores conversations in the running service and asks it questions whose evidence
is known: percent of the evidence turns among the first 5, 10 and 20 passages, and within 500 words.
The data is LoCoMo (CC BY-NC 4.0, not part of this repository): five of its ten conversations, which
the weights were chosen on, 760 questions of categories 1 to 4. No language model takes part.
"""
_SAFETY = """
A channel that says nothing must not drown the other: with *random vectors* in the place of the
model's, and with the *words* taken out of the index.

"""
_ABSTENTION = """
Nothing relevant is an answer. `bench/abstention.py` asks each user's memory what it answers, what
another user's would, and what needs no memory; percent of the questions for which something is
recalled. The default threshold is {threshold:g}. *Made up* are an assistant's chats, in which
strangers often talk of the same.

"""


def finding(locomo: Mapping[str, Any], abstention: Mapping[str, Any]) -> str:
    """Return the section, of what was saved by name of the data."""
    own = locomo[DATA.stem]
    parts = [f"\n{_METHOD}\n", _systems(own), "\n", _groups(own["shipped"]), _SAFETY]
    parts += [_safety(locomo), _ABSTENTION.format(threshold=Memory().similarity_threshold)]
    parts.append(_thresholds(abstention[DATA.stem], abstention[_MADE_UP]))
    return "".join(parts)


def _systems(own: Mapping[str, Any]) -> str:
    lines = [(_NAMES[name], *_figures(own[name]["OVERALL"])) for name in _NAMES]
    found = own["shipped"]["OVERALL"]
    met = [found[name] >= bar for name, bar in zip(METRICS, BARS, strict=True)]
    lines.append(("at least", *(f"{bar:.1f}" for bar in BARS)))
    lines.append(("met", *("yes" if each else "**no**" for each in met)))
    return table(("", *_HEAD), lines)


def _groups(shipped: Mapping[str, Any]) -> str:
    lines = ((name, str(shipped[name]["n"]), *_figures(shipped[name])) for name in _GROUPS)
    return table(("", "questions", *_HEAD), lines)


def _safety(locomo: Mapping[str, Any]) -> str:
    cases = (
        ("random vectors", locomo[DATA.stem + _RANDOM], "words"),
        ("no words", locomo[DATA.stem + _NO_WORDS], "meaning"),
    )
    return table(("", "R@10 of the other alone", "of both", "lost", "bar"), _losses(cases))


def _losses(cases: Iterable[tuple[str, Mapping[str, Any], str]]) -> Iterable[tuple[str, ...]]:
    for name, figures, other in cases:
        alone, both = (figures[each]["OVERALL"]["R@10"] for each in (other, "shipped"))
        met = "met" if alone - both < _MOST_LOST else "**not met**"
        yield name, f"{alone:.1f}", f"{both:.1f}", f"{max(alone - both, 0.0):.1f}", met


def _figures(row: Mapping[str, float]) -> Iterable[str]:
    return (f"{row[name]:.1f}" for name in METRICS)


def _thresholds(own: Mapping[str, Any], made_up: Mapping[str, Any]) -> str:
    head = (
        *("threshold", "own", "another's", "needs none"),
        *("made up: own", "another's", "needs none"),
    )
    kinds = ("own", "strangers", "generic")
    lines = (
        (name, *(f"{rates[name][kind]:.1f}" for rates in (own, made_up) for kind in kinds))
        for name in own
    )
    return table(head, lines)
