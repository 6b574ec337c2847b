"""One score out of all evidence: two channels, words and meaning, and some priors.

Each channel is scaled to its best candidate and weighs as much as it has to say: a
model that understands nothing must not drown words, nor chance words a meaning. Priors
are added, never multiplied, so that none can hide what both channels agree on.
`bench/locomo.py` measures what each of the numbers here is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from memory_svc.retrieval.bm25 import longness
from memory_svc.retrieval.dates import affinity
from memory_svc.retrieval.evidence import Evidence, Floats, Ints
from memory_svc.retrieval.question import Question
from memory_svc.retrieval.traits import ASKS, COUNTS, DATED, MOST_NAMES, TOLD, names_in


@dataclass(frozen=True, slots=True)
class Weights:
    """What each piece of evidence adds to a score at most."""

    # Words
    turn: float
    window: float
    wide: float
    coverage: float
    window_coverage: float
    # Meaning
    near: float
    around: float
    vicinity: float
    asked: float  # an answer stands behind its question
    # Priors
    named: float  # said by the only one whom the question names
    conversation: float  # said in a conversation with other good passages
    time: float  # said about when the question names
    dated: float  # says when, where the question asks when
    asks: float  # taken off what asks: it tells what its speaker did not know
    names: float  # calls things by their names
    counts: float  # has numbers
    told: float  # says what its speaker did
    user: float  # said by the person, not by a model


# Turns of a sentence or two mean little without their neighbours, and many of them tell
# nothing; among long messages each speaks for itself, and a person's own words are what
# is worth remembering.
_SHORT = Weights(
    turn=0.0,
    window=0.25,
    wide=0.15,
    coverage=0.05,
    window_coverage=0.1,
    near=0.35,
    around=0.3,
    vicinity=0.15,
    asked=0.1,
    named=0.3,
    conversation=0.25,
    time=0.5,
    dated=0.2,
    asks=0.1,
    names=0.15,
    counts=0.1,
    told=0.03,
    user=0.0,
)
_LONG = Weights(
    turn=0.3,
    window=0.1,
    wide=0.0,
    coverage=0.05,
    window_coverage=0.0,
    near=0.6,
    around=0.15,
    vicinity=0.0,
    asked=0.0,
    named=0.3,
    conversation=0.15,
    time=0.5,
    dated=0.1,
    asks=0.0,
    names=0.0,
    counts=0.0,
    told=0.0,
    user=0.15,
)
_BY_WORDS = ("turn", "window", "wide", "coverage", "window_coverage")
_BY_MEANING = ("near", "around", "vicinity", "asked")

# With fewer passages chance agrees too easily, and the model is believed.
_BELIEVED = 20
_USUAL_AGREEMENT = 0.5
# Turns and their windows overlap: a model that understands agrees with itself by 0.3 or
# more, random vectors of some hundred turns by 0.1 or less.
_NO_AGREEMENT, _FULL_AGREEMENT = 0.12, 0.25
_SUPPORT = 3


def fused(evidence: Evidence, question: Question, threshold: float) -> Floats:
    """Score each candidate; the unit is of no meaning beyond this question."""
    weights = _weights(longness(evidence.mean_length))
    by_words = _channel(evidence, weights, _BY_WORDS)
    by_meaning = _channel(evidence, weights, _BY_MEANING)
    word_share = _word_evidence(evidence)
    meaning_share = meaning_evidence(evidence, threshold)
    score = word_share * by_words + meaning_share * by_meaning
    score = score * _loudness(weights, word_share, meaning_share)
    score += _priors(evidence, question, weights)
    score += weights.conversation * _support(score, evidence.conversations)
    return score + weights.time * affinity(question.times, evidence.created_us)


def strengths(evidence: Evidence) -> Floats:
    """Return how well each candidate fits in itself, 0 to 1: by its words or its meaning."""
    shares = evidence.matched / max(evidence.words, 1)
    return np.clip(np.maximum(shares, np.maximum(evidence.near, evidence.around)), 0, 1)


def meaning_evidence(evidence: Evidence, threshold: float) -> float:
    """Return how much meanings say, 0 to 1.

    Nothing where the nearest is no nearer than chance, or where the model does not
    even agree with itself on turns and their windows.
    """
    if not evidence.compared:
        return 0.0
    nearest = float(np.maximum(evidence.near, evidence.around).max(initial=0.0))
    noise = threshold / 2
    standing = (nearest - noise) / max(threshold - noise, 1e-6)
    agreeing = (evidence.agreement - _NO_AGREEMENT) / (_FULL_AGREEMENT - _NO_AGREEMENT)
    return min(max(standing, 0.0), 1.0) * min(max(agreeing, 0.0), 1.0)


def believed_agreement(correlation: float, count: int) -> float:
    """Return what a correlation over `count` passages says of a model."""
    return (correlation * count + _USUAL_AGREEMENT * _BELIEVED) / (count + _BELIEVED)


def _weights(long: float) -> Weights:
    short_and_long = ((getattr(_SHORT, f.name), getattr(_LONG, f.name)) for f in fields(Weights))
    return Weights(*(a + long * (b - a) for a, b in short_and_long))


def _channel(evidence: Evidence, weights: Weights, names: tuple[str, ...]) -> Floats:
    total = np.zeros(len(evidence), dtype=np.float32)
    for name in names:
        values = np.maximum(getattr(evidence, name), 0)
        best = 1.0 if "coverage" in name else values.max(initial=0.0)
        if best > 0:
            total += getattr(weights, name) * values / best
    return total


def _word_evidence(evidence: Evidence) -> float:
    """Return how much words say: less where no window has half of the question's."""
    return min(2 * float(evidence.window_coverage.max(initial=0.0)), 1.0)


def _loudness(weights: Weights, word_share: float, meaning_share: float) -> float:
    """Make up for what is not there, half way: priors must not take its place."""
    words = sum(getattr(weights, name) for name in _BY_WORDS)
    meaning = sum(getattr(weights, name) for name in _BY_MEANING)
    present = word_share * words + meaning_share * meaning
    return float(np.sqrt((words + meaning) / present)) if present > 0 else 0.0


def _priors(evidence: Evidence, question: Question, weights: Weights) -> Floats:
    def marked(mark: int) -> Floats:
        return ((evidence.marks & mark) > 0).astype(np.float32)

    score = weights.named * evidence.by_named + weights.user * evidence.by_user
    score = score - weights.asks * marked(ASKS)
    score += weights.counts * marked(COUNTS) + weights.told * marked(TOLD)
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
