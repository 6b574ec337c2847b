"""Okapi BM25 on counts of words, for turns and for windows of turns."""

from __future__ import annotations

import numpy as np

from memory_svc.retrieval.evidence import Floats

# Between chat turns of some twenty words length says little; between a question and an
# answer of pages it says much.
_SHORT_TURNS, _LONG_TURNS = 40.0, 100.0
_K1, _B = (0.9, 1.2), (0.4, 0.75)


def longness(mean_length: float) -> float:
    """Return 0 for a memory of short turns, 1 for one of long messages."""
    return min(max((mean_length - _SHORT_TURNS) / (_LONG_TURNS - _SHORT_TURNS), 0.0), 1.0)


def rarity(found: Floats, total: int) -> Floats:
    """Return the inverse document frequency of words that `found` of `total` texts have."""
    return np.log1p((total - found + 0.5) / (found + 0.5))


def saturated(counts: Floats, lengths: Floats, average: float, *, longness: float) -> Floats:
    """Return what counts of words are worth in texts of these lengths; one row for each word."""
    k1, b = (low + longness * (high - low) for low, high in (_K1, _B))
    norm = k1 * (1 - b + b * lengths / max(average, 1.0))
    return counts * (k1 + 1) / (counts + norm)
