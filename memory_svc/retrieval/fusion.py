"""One score out of all evidence: two channels, words and meaning, and some priors.

Each channel is scaled to its best candidate and weighs as much as it has to say: a
model that understands nothing must not drown words, nor chance words a meaning. Priors
are added, never multiplied, so that none can hide what both channels agree on.
The weights lie on a plateau, as `bench/locomo.py` shows: finer ones only fit its data.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from memory_svc.retrieval.bm25 import longness
from memory_svc.retrieval.dates import affinity
from memory_svc.retrieval.evidence import Evidence, Floats, Ints
from memory_svc.retrieval.question import Question
from memory_svc.retrieval.traits import ASKS, COUNTS, DATED, MOST_NAMES, names_in


@dataclass(frozen=True, slots=True)
class Weights:
    """What each piece of evidence adds to a score at most."""

    # Words
    turn: float
    window: float
    wide: float
    coverage: float
    # Meaning
    near: float
    around: float
    vicinity: float
    asked: float  # an answer stands behind its question
    # Priors
    named: float  # said by the one whom the question is about
    role: float  # said by the person, or by a model, where the question says by whom
    user: float  # said by the person
    conversation: float  # said in a conversation with other good passages
    time: float  # said about when the question names
    dated: float  # says when, where the question asks when
    asks: float  # taken off what asks: it tells what its speaker did not know
    names: float  # calls things by their names
    counts: float  # has numbers


# Turns of a sentence or two mean little without their neighbours, and many of them tell
# nothing; among long messages each speaks for itself, and a person's own words are what
# is worth remembering.
_SHORT = Weights(
    turn=0.0,
    window=0.25,
    wide=0.15,
    coverage=0.05,
    near=0.3,
    around=0.3,
    vicinity=0.1,
    asked=0.05,
    named=0.3,
    role=0.2,
    user=0.0,
    conversation=0.2,
    time=0.5,
    dated=0.2,
    asks=0.1,
    names=0.1,
    counts=0.1,
)
_LONG = Weights(
    turn=0.2,
    window=0.1,
    wide=0.05,
    coverage=0.05,
    near=0.4,
    around=0.15,
    vicinity=0.05,
    asked=0.05,
    named=0.3,
    role=0.2,
    user=0.1,
    conversation=0.1,
    time=0.5,
    dated=0.1,
    asks=0.05,
    names=0.05,
    counts=0.05,
)
_BY_WORDS = ("turn", "window", "wide", "coverage")
_BY_MEANING = ("near", "around", "vicinity", "asked")

# Of what fits a question, this much is its words and the rest its meaning.
_WORDS_OF_FIT = 0.2
# No nearer than this is the nearest to a question of which a memory knows nothing.
_CHANCE, _CLEAR = 0.15, 0.3
# A message is nearer to its own window than to another's, unless the model understands
# nothing: then half of them are, give or take an eighth.
_NO_AGREEMENT, _FULL_AGREEMENT = 0.3, 0.7
_SUPPORT = 3


def fused(evidence: Evidence, question: Question) -> Floats:
    """Score each candidate; the unit is of no meaning beyond this question."""
    weights = _weights(longness(evidence.mean_length))
    score = _word_evidence(evidence) * _channel(evidence, weights, _BY_WORDS)
    score += meaning_evidence(evidence) * _channel(evidence, weights, _BY_MEANING)
    score += _priors(evidence, question, weights)
    score += weights.conversation * _support(score, evidence.conversations)
    return score + weights.time * affinity(question.times, evidence.created_us)


def fit(evidence: Evidence) -> Floats:
    """Return how well each candidate fits in itself, 0 to 1: its meaning and its words.

    Both are a message's or its window's, whichever fits better. What has no vector yet
    fits by its words alone.
    """
    likeness = np.clip(np.maximum(evidence.near, evidence.around), 0, 1)
    by_words = _WORDS_OF_FIT if evidence.words else 0.0
    has_vector = (evidence.near != 0) | (evidence.around != 0)
    by_meaning = (1 - by_words) * meaning_evidence(evidence) * has_vector
    return np.asarray(by_meaning * likeness + (1 - by_meaning) * evidence.coverage)


def meaning_evidence(evidence: Evidence) -> float:
    """Return how much meanings say, 0 to 1.

    Nothing where the nearest is no nearer than chance, or where the model does not
    even agree with itself on messages and their windows.
    """
    if not evidence.compared:
        return 0.0
    nearest = float(np.maximum(evidence.near, evidence.around).max(initial=0.0))
    return _ramp(nearest, _CHANCE, _CLEAR) * _ramp(
        evidence.agreement, _NO_AGREEMENT, _FULL_AGREEMENT
    )


def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _weights(long: float) -> Weights:
    short_and_long = ((getattr(_SHORT, f.name), getattr(_LONG, f.name)) for f in fields(Weights))
    return Weights(*(a + long * (b - a) for a, b in short_and_long))


def _channel(evidence: Evidence, weights: Weights, names: tuple[str, ...]) -> Floats:
    total = np.zeros(len(evidence), dtype=np.float32)
    for name in names:
        values = np.maximum(getattr(evidence, name), 0)
        best = 1.0 if name == "coverage" else values.max(initial=0.0)
        if best > 0:
            total += getattr(weights, name) * values / best
    return total


def _word_evidence(evidence: Evidence) -> float:
    """Return how much words say: less where no window has half of the question's."""
    return min(2 * float(evidence.coverage.max(initial=0.0)), 1.0)


def _priors(evidence: Evidence, question: Question, weights: Weights) -> Floats:
    def marked(mark: int) -> Floats:
        return ((evidence.marks & mark) > 0).astype(np.float32)

    score = weights.named * evidence.by_named + weights.user * evidence.by_user
    if question.role:
        score = score + weights.role * (evidence.by_user == (question.role == "user"))
    score = score - weights.asks * marked(ASKS) + weights.counts * marked(COUNTS)
    score += weights.names * names_in(evidence.marks) / MOST_NAMES
    if question.asks_when:
        score += weights.dated * marked(DATED)
    return np.asarray(score)


def _support(score: Floats, conversations: Ints) -> Floats:
    """Return for each candidate the mean of its conversation's best few."""
    _, group = np.unique(conversations, return_inverse=True)
    order = np.lexsort((-score, group))
    first = np.searchsorted(group[order], group[order])
    best = order[np.arange(len(order)) - first < _SUPPORT]
    sums = np.bincount(group[best], weights=score[best])
    return (sums / np.bincount(group[best]))[group].astype(np.float32)
