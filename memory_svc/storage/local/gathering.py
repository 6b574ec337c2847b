"""Choose a question's candidates from a shelf, and gather what speaks for each.

All of a small memory are candidates. Of a large one those are whose words, in a window
of turns, are the rarest together, and those whose vectors are nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_svc.model import Probe, Vector, VectorKind
from memory_svc.retrieval.bm25 import longness, rarity, saturated
from memory_svc.retrieval.evidence import Bools, Evidence, Floats, Ints
from memory_svc.retrieval.fusion import believed_agreement
from memory_svc.retrieval.traits import ASKS
from memory_svc.storage.local.shelf import NOWHERE, Shelf
from memory_svc.storage.local.vectors import Places

_ALL_CANDIDATES = 1024
_LEAST_BY_WORDS, _LEAST_BY_MEANING = 300, 150
_EACH_BY_WORDS, _EACH_BY_MEANING = 3, 2
_SAMPLE = 256
# What only the rest of a long message says, it says among much else.
_IN_REST = 0.3
# Columns of a shelf's slots.
_PREVIOUS, _OWN, _NEXT = 3, 4, 5
_WINDOW = slice(2, 6)
_IN_WINDOW, _IN_WIDE = 4, 8
# A word is in about so many windows for each turn that has it.
_WINDOWS_PER_TURN = 3.5


@dataclass(frozen=True, slots=True)
class Posting:
    """The messages that have one of the probe's terms: in their heads, or in their rest."""

    in_head: Ints
    in_rest: Ints


@dataclass(frozen=True, slots=True)
class _Terms:
    """How often each term is at each place (the last place is nobody's), and its rarity."""

    counts: NDArray[np.float32]
    rarities: Floats
    window_rarities: Floats
    stakes: Floats  # what the question has to lose by each word; 0 for phrases


def gather(
    shelf: Shelf, probe: Probe, postings: Sequence[Posting], allowed: Bools | None, limit: int
) -> Evidence:
    """Return the evidence of the best candidates for `limit` passages."""
    terms = _terms(shelf, probe, postings)
    places = _candidates(shelf, probe, terms, allowed, limit)
    slots = shelf.slots(places)
    counts = terms.counts[:, slots]
    own, window = counts[:, :, _OWN], counts[:, :, _WINDOW].sum(axis=2)
    lengths = shelf.lengths[slots]
    mean = shelf.mean_length
    long = longness(mean)

    def bm25(rarities: Floats, counts: Floats, lengths: Floats, turns: int) -> Floats:
        return rarities @ saturated(counts, lengths, mean * turns, longness=long)

    words = slice(0, len(probe.words))
    stake = max(float(terms.stakes.sum()), 1e-6)
    near, around, agreement = _cosines(shelf, probe, slots)
    asked = (shelf.marks[slots[:, _PREVIOUS]] & ASKS > 0) & (slots[:, _PREVIOUS] != NOWHERE)
    return Evidence(
        message_ids=shelf.ids[places],
        conversations=shelf.conversations[places],
        created_us=shelf.created_us[places],
        by_user=shelf.by_user[places],
        by_named=shelf.spoken_by(probe.named)[places],
        marks=shelf.marks[places],
        turn=bm25(terms.rarities, own, lengths[:, _OWN], 1),
        window=bm25(terms.window_rarities, window, lengths[:, _WINDOW].sum(axis=1), _IN_WINDOW),
        wide=bm25(terms.window_rarities, counts.sum(axis=2), lengths.sum(axis=1), _IN_WIDE),
        coverage=(terms.stakes @ np.minimum(own, 1) / stake).astype(np.float32),
        window_coverage=(terms.stakes @ np.minimum(window, 1) / stake).astype(np.float32),
        matched=(own[words] > 0).sum(axis=0),
        window_matched=(window[words] > 0).sum(axis=0),
        near=near[:, 1],
        around=around[:, 1],
        vicinity=around.sum(axis=1) / (slots[:, _PREVIOUS : _NEXT + 1] != NOWHERE).sum(axis=1),
        asked=np.where(asked, near[:, 0], 0),
        words=len(probe.words),
        compared=bool(shelf.vectors),
        agreement=agreement,
        mean_length=mean,
    )


def _terms(shelf: Shelf, probe: Probe, postings: Sequence[Posting]) -> _Terms:
    total = len(shelf)
    counts = np.zeros((len(postings), total + 1), dtype=np.float32)
    for row, posting in zip(counts, postings, strict=True):
        row[shelf.places(posting.in_rest)] = _IN_REST
        row[shelf.places(posting.in_head)] = 1
        row[NOWHERE] = 0
    found = (counts > 0).sum(axis=1).astype(np.float32)
    rarities = np.where(found > 0, rarity(found, total), 0).astype(np.float32)
    in_windows = np.minimum(found * _WINDOWS_PER_TURN, total).astype(np.float32)
    stakes = rarity(found, total)
    stakes[len(probe.words) :] = 0
    return _Terms(
        counts,
        rarities,
        np.where(found > 0, rarity(in_windows, total), 0).astype(np.float32),
        stakes,
    )


def _candidates(
    shelf: Shelf, probe: Probe, terms: _Terms, allowed: Bools | None, limit: int
) -> Places:
    if len(shelf) <= _ALL_CANDIDATES:
        return np.arange(len(shelf)) if allowed is None else np.flatnonzero(allowed)
    own = terms.rarities @ terms.counts
    before = own[shelf.befores]
    spread = own + before + before[shelf.befores] + own[shelf.afters]
    score = (own + spread)[:-1]
    if allowed is not None:
        score = np.where(allowed, score, 0)
    chosen = [_best(score, max(_LEAST_BY_WORDS, _EACH_BY_WORDS * limit))]
    for kind, query in _queries(probe).items():
        if kind in shelf.vectors:
            count = max(_LEAST_BY_MEANING, _EACH_BY_MEANING * limit)
            chosen.append(shelf.vectors[kind].nearest(query, count, allowed))
    return np.unique(np.concatenate(chosen))


def _best(score: Floats, count: int) -> Places:
    best = np.argpartition(-score, min(count, len(score) - 1))[:count]
    return best[score[best] > 0]


def _queries(probe: Probe) -> dict[VectorKind, Vector]:
    queries = {VectorKind.ALONE: probe.bare_vector, VectorKind.WINDOW: probe.vector}
    return {kind: query for kind, query in queries.items() if query is not None}


def _cosines(shelf: Shelf, probe: Probe, slots: Places) -> tuple[Floats, Floats, float]:
    """Return the cosines of the turn before, the turn itself and the one after it.

    Of turns alone, of windows, and how far the two go together.
    """
    about = slots[:, _PREVIOUS : _NEXT + 1]
    sample = np.arange(0, len(shelf), max(len(shelf) // _SAMPLE, 1))
    places = np.unique(np.concatenate((about.ravel(), sample)))
    places = places[places != NOWHERE]
    queries = _queries(probe)
    near, around = (np.zeros(len(shelf) + 1, dtype=np.float32) for _ in VectorKind)
    for kind, column in ((VectorKind.ALONE, near), (VectorKind.WINDOW, around)):
        if kind in shelf.vectors and kind in queries:
            column[places] = shelf.vectors[kind].cosines(queries[kind], places)
    return near[about], around[about], _agreement(near[sample], around[sample])


def _agreement(near: Floats, around: Floats) -> float:
    known = (near != 0) & (around != 0)
    near, around = near[known], around[known]
    if len(near) < 2 or not near.std() or not around.std():  # noqa: PLR2004  # no correlation
        return believed_agreement(0.0, 0)
    return believed_agreement(float(np.corrcoef(near, around)[0, 1]), len(near))
