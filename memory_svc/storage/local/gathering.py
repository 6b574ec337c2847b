"""Choose a question's candidates from a shelf, and gather what speaks for each.

All of a small memory are candidates. Of a large one those are whose words, in a window
of turns, are the rarest together, and those whose vectors are nearest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from memory_svc.model import Probe, Vector, VectorKind
from memory_svc.retrieval.bm25 import longness, rarity, saturated
from memory_svc.retrieval.dates import affinity
from memory_svc.retrieval.evidence import Bools, Evidence, Floats, Ints
from memory_svc.retrieval.traits import ASKS
from memory_svc.storage.local.scope import Scope
from memory_svc.storage.local.shelf import NOWHERE, Shelf
from memory_svc.storage.local.vectors import Places

_ALL_CANDIDATES = 1024
_LEAST_BY_WORDS, _LEAST_BY_MEANING = 300, 150
_EACH_BY_WORDS, _EACH_BY_MEANING = 3, 2
_SAMPLE = 64
# Among fewer messages it is chance whose window is whose, and the model is believed.
_BELIEVED = 8
# What only the rest of a long message says, it says among much else.
_IN_REST = 0.3
# One of many parts is near more easily than the only one.
_OF_A_PART = 0.8
_SCANNING = ThreadPoolExecutor(max_workers=2, thread_name_prefix="scan")
# Columns of a shelf's slots.
_PREVIOUS, _OWN, _NEXT = 3, 4, 5
_WINDOW = slice(2, 6)
_IN_WINDOW, _IN_WIDE = 4, 8
# A word is in about so many windows for each turn that has it.
_WINDOWS_PER_TURN = 3.5
# In fewer messages a word that is there is not common for that, nor one that is missing rare.
_TELLING = 10


@dataclass(frozen=True, slots=True)
class Posting:
    """The messages that have one of the probe's terms: in their heads, or in their rest."""

    in_head: Ints
    in_rest: Ints


@dataclass(frozen=True, slots=True)
class _Terms:
    """Where each term is, in heads and in rests alone, and its rarity."""

    places: Sequence[tuple[Places, Places]]
    rarities: Floats
    window_rarities: Floats
    stakes: Floats  # what the question has to lose by each word; 0 for phrases

    def weighed(self, total: int) -> Floats:
        """Return what the terms at each place are worth; the last place is nobody's."""
        worth = np.zeros(total + 1, dtype=np.float32)
        for (heads, rests), rarity_of_term in zip(self.places, self.rarities, strict=True):
            worth[heads] += rarity_of_term
            worth[rests] += _IN_REST * rarity_of_term
        return worth

    def counts(self, slots: Places, total: int) -> Floats:
        """Return how often each term is at the places of `slots`: a layer for each term."""
        counts = np.empty((len(self.places), *slots.shape), dtype=np.float32)
        column = np.zeros(total + 1, dtype=np.float32)
        for layer, (heads, rests) in zip(counts, self.places, strict=True):
            column[rests] = _IN_REST
            column[heads] = 1
            layer[:] = column[slots]
            column[rests] = column[heads] = 0
        return counts


def gather(
    shelf: Shelf, probe: Probe, postings: Sequence[Posting], scope: Scope | None, limit: int
) -> Evidence:
    """Return the evidence of the best candidates for `limit` passages."""
    allowed = scope.allowed(shelf) if scope else None
    scan = _Scan(shelf, probe, allowed, limit)
    parts = _SCANNING.submit(_nearest_parts, shelf, probe, allowed, limit)
    terms = _terms(shelf, probe, postings)
    places = _candidates(shelf, probe, terms, scan)
    in_parts = parts.result()
    places = _distinct(shelf, (places, in_parts[0]))
    slots = shelf.slots(places)
    counts = terms.counts(slots, len(shelf))
    own, window = counts[:, :, _OWN], counts[:, :, _WINDOW].sum(axis=2)
    lengths = shelf.lengths[slots]
    mean = shelf.mean_length
    long = longness(mean)

    def bm25(rarities: Floats, counts: Floats, lengths: Floats, turns: int) -> Floats:
        return rarities @ saturated(counts, lengths, mean * turns, longness=long)

    words = slice(0, len(probe.words))
    stake = max(float(terms.stakes.sum()), 1e-6)
    asked = (shelf.marks[slots[:, _PREVIOUS]] & ASKS > 0) & (slots[:, _PREVIOUS] != NOWHERE)
    near, around = _cosines(shelf, probe, slots, asked)
    with_parts = np.searchsorted(places, in_parts[0])
    near[with_parts, 1] = np.maximum(near[with_parts, 1], _OF_A_PART * in_parts[1])
    return Evidence(
        message_ids=shelf.ids[places],
        conversations=shelf.conversations[places],
        created_us=shelf.created_us[places],
        by_user=shelf.by_user[places],
        by_named=shelf.spoken_by(probe.named, places),
        marks=shelf.marks[places],
        turn=bm25(terms.rarities, own, lengths[:, _OWN], 1),
        window=bm25(terms.window_rarities, window, lengths[:, _WINDOW].sum(axis=1), _IN_WINDOW),
        wide=bm25(terms.window_rarities, counts.sum(axis=2), lengths.sum(axis=1), _IN_WIDE),
        coverage=(terms.stakes @ np.minimum(window, 1) / stake).astype(np.float32),
        matched=(own[words] > 0).sum(axis=0),
        near=near[:, 1],
        around=around[:, 1],
        vicinity=around.sum(axis=1) / (slots[:, _PREVIOUS : _NEXT + 1] != NOWHERE).sum(axis=1),
        asked=np.where(asked, near[:, 0], 0),
        words=len(probe.words),
        compared=bool(shelf.vectors),
        agreement=_agreement(shelf),
        mean_length=mean,
        embedded=_embedded(shelf, probe),
    )


def _embedded(shelf: Shelf, probe: Probe) -> float:
    """Return the share of messages whose meaning can be compared."""
    if probe.vector is None or not len(shelf):
        return 1.0
    return len(shelf.vectors.get(VectorKind.ALONE, ())) / len(shelf)


def _terms(shelf: Shelf, probe: Probe, postings: Sequence[Posting]) -> _Terms:
    total = len(shelf)
    places = [_places(shelf, posting) for posting in postings]
    found = np.array([len(heads) + len(rests) for heads, rests in places], dtype=np.float32)
    rarities = np.where(found > 0, rarity(found, total), 0).astype(np.float32)
    in_windows = np.minimum(found * _WINDOWS_PER_TURN, total).astype(np.float32)
    stakes = rarity(found, max(total, _TELLING))
    stakes[len(probe.words) :] = 0
    return _Terms(
        places,
        rarities,
        np.where(found > 0, rarity(in_windows, total), 0).astype(np.float32),
        stakes,
    )


def _places(shelf: Shelf, posting: Posting) -> tuple[Places, Places]:
    """Return where a term is in heads, and where only in rests."""
    heads, rests = (
        places[places != NOWHERE]
        for places in map(shelf.places, (posting.in_head, posting.in_rest))
    )
    if len(rests):
        is_head = np.zeros(len(shelf), dtype=np.bool_)
        is_head[heads] = True
        rests = rests[~is_head[rests]]
    return heads, rests


class _Scan:
    """What is near a question, looked for beside everything else.

    FAISS leaves Python's lock alone: who has a core to spare waits half as long.
    """

    def __init__(self, shelf: Shelf, probe: Probe, allowed: Bools | None, limit: int) -> None:
        self.allowed, self.limit = allowed, limit
        count = max(_LEAST_BY_MEANING, _EACH_BY_MEANING * limit)
        self._found = [
            _SCANNING.submit(shelf.vectors[kind].nearest, query, count, allowed)
            for kind, query in _queries(probe).items()
            if kind in shelf.vectors and len(shelf) > _ALL_CANDIDATES
        ]

    def places(self) -> list[Places]:
        """Return the places of the nearest of each kind; none of a small memory."""
        return [found.result() for found in self._found]


def _candidates(shelf: Shelf, probe: Probe, terms: _Terms, scan: _Scan) -> Places:
    allowed, limit = scan.allowed, scan.limit
    if len(shelf) <= _ALL_CANDIDATES:
        return np.arange(len(shelf)) if allowed is None else np.flatnonzero(allowed)
    chosen = [_best_by_words(shelf, terms, allowed, limit), *scan.places()]
    if probe.times:
        fading = affinity(probe.times, shelf.created_us)
        then = fading > 0 if allowed is None else (fading > 0) & allowed
        of_then = _Scan(shelf, probe, then, limit)
        chosen += [_best_by_words(shelf, terms, then, limit), *of_then.places()]
        if not probe.words:
            then_places = np.flatnonzero(then)
            latest = np.argsort(-fading[then_places], kind="stable")[:_LEAST_BY_WORDS]
            chosen.append(then_places[latest])
    return _distinct(shelf, chosen)


def _best_by_words(shelf: Shelf, terms: _Terms, allowed: Bools | None, limit: int) -> Places:
    """Return the places whose windows have the terms that are the rarest together."""
    count = max(_LEAST_BY_WORDS, _EACH_BY_WORDS * limit)
    own = terms.weighed(len(shelf))
    places = _around(shelf, np.flatnonzero(own))
    if allowed is not None:
        places = places[allowed[places]]
    before = shelf.befores[places]
    score = 2 * own[places] + own[before] + own[shelf.befores[before]] + own[shelf.afters[places]]
    if len(places) <= count:
        return places
    return places[np.argpartition(-score, count)[:count]]


def _distinct(shelf: Shelf, chosen: Iterable[Places]) -> Places:
    """Return each place once, in order, without NOWHERE."""
    is_chosen = np.zeros(len(shelf) + 1, dtype=np.bool_)
    for places in chosen:
        is_chosen[places] = True
    return np.flatnonzero(is_chosen[:-1])


def _around(shelf: Shelf, places: Places) -> Places:
    """Return the places whose windows hold any of these."""
    after = shelf.afters[places]
    return _distinct(shelf, (places, shelf.befores[places], after, shelf.afters[after]))


def _nearest_parts(
    shelf: Shelf, probe: Probe, allowed: Bools | None, limit: int
) -> tuple[Places, Vector]:
    """Return the places of long messages with the nearest parts, and the parts' cosines."""
    if shelf.parts is None or probe.bare_vector is None:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    count = max(_LEAST_BY_MEANING, _EACH_BY_MEANING * limit)
    return shelf.parts.nearest(probe.bare_vector, count, allowed)


def _queries(probe: Probe) -> dict[VectorKind, Vector]:
    queries = {VectorKind.ALONE: probe.bare_vector, VectorKind.WINDOW: probe.vector}
    return {kind: query for kind, query in queries.items() if query is not None}


def _cosines(shelf: Shelf, probe: Probe, slots: Places, asked: Bools) -> tuple[Floats, Floats]:
    """Return the cosines of the turn before, the turn itself and the one after it.

    Of turns alone and of windows. Alone, what is before a turn has a cosine only where it is
    `asked`, and what is after it has none.
    """
    about = slots[:, _PREVIOUS : _NEXT + 1]
    queries = _queries(probe)
    near, around = (np.zeros(len(shelf) + 1, dtype=np.float32) for _ in VectorKind)
    alone = (slots[:, _OWN], slots[asked, _PREVIOUS])
    for kind, column, wanted in (
        (VectorKind.ALONE, near, alone),
        (VectorKind.WINDOW, around, (about.ravel(),)),
    ):
        if kind in shelf.vectors and kind in queries:
            places = _distinct(shelf, wanted)
            column[places] = shelf.vectors[kind].cosines(queries[kind], places)
    return near[about], around[about]


def _agreement(shelf: Shelf) -> float:
    """Return how far messages are like their own windows rather than others': -1 to 1."""
    if set(shelf.vectors) < {VectorKind.ALONE, VectorKind.WINDOW}:
        return 1.0
    sample = np.arange(0, len(shelf), max(len(shelf) // _SAMPLE, 1))
    alone, own = (shelf.vectors[kind].read(sample) for kind in VectorKind)
    known = alone.any(axis=1) & own.any(axis=1)
    alone, own = alone[known], own[known]
    others = np.roll(own, len(own) // 2, axis=0)
    lead = np.einsum("ij,ij->i", alone, own) - np.einsum("ij,ij->i", alone, others)
    return float((np.sign(lead).sum() + _BELIEVED) / (len(lead) + _BELIEVED))
