"""Find a user's passages by words and by meaning, and judge whether they are relevant.

`rank` is a pure function from candidates to passages. What brings candidates up is
the store's business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from memory_svc.embedding.base import Embedder, EmbeddingError
from memory_svc.model import Candidate, Found, Passage, Probe, SearchFilter, Vector
from memory_svc.storage.base import MemoryStore
from memory_svc.words import content_words, is_question, normalised

# Fusion needs more candidates than it returns: the best of both lies behind the
# first of either.
_LEAST_CANDIDATES = 50
_CANDIDATES_FOR_EACH = 3
# A question tells what its user did not know; of two that fit alike the statement helps.
_QUESTION_WEIGHT = 0.8
# Unrelated texts have cosines up to about half of the least that counts.
_NOISE = 0.5
# All of a question's words in a passage say about as much as this cosine.
_WORDS_TO_COSINE = 0.5


class Search:
    """Searches one store with one embedder; `threshold` is a least cosine."""

    def __init__(self, store: MemoryStore, embedder: Embedder, *, threshold: float) -> None:
        self._store = store
        self._embedder = embedder
        self._threshold = threshold

    async def find(self, user_id: str, query: str, where: SearchFilter, limit: int) -> Found:
        """Return the user's relevant passages, best first; none if nothing is relevant."""
        words = content_words(query)
        vector, degraded = await self._vector(query)
        probe = Probe(words, vector, self._embedder.model)
        count = max(_LEAST_CANDIDATES, _CANDIDATES_FOR_EACH * limit)
        candidates = await self._store.candidates(user_id, probe, where, count)
        passages = rank(candidates, words=len(words), threshold=self._threshold)
        return Found(tuple(passages[:limit]), degraded)

    async def _vector(self, query: str) -> tuple[Vector | None, str]:
        """Embed the query, or return why meanings are not compared."""
        status = self._embedder.status
        if status.state == "failed":
            return None, f"meaning: the embedding model failed: {status.error}"
        if status.state == "off":
            return None, "meaning: indexing is off"
        if status.state == "loading":
            return None, "meaning: the embedding model is loading"
        try:
            return (await self._embedder.embed([query]))[0], ""
        except EmbeddingError as error:
            return None, f"meaning: the query was not embedded: {error}"


def rank(candidates: Sequence[Candidate], *, words: int, threshold: float) -> list[Passage]:
    """Order the relevant candidates, best first, each text once.

    A candidate is relevant if it has at least half of the query's `words`, or a
    cosine of at least `threshold`.
    """
    relevant = [each for each in candidates if _is_relevant(each, words, threshold)]
    kept = _once(relevant)
    if not kept:
        return []
    scores = _fuse(kept, words, threshold)
    passages = [
        Passage(
            message_id=each.message_id,
            conversation_id=each.conversation_id,
            conversation_title=each.conversation_title,
            role=each.role,
            text=each.text,
            created_us=each.created_us,
            score=score,
            lexical_score=_share(each, words) if words else None,
            dense_score=None if each.cosine is None else _clip(each.cosine),
        )
        for each, score in zip(kept, scores, strict=True)
    ]
    return sorted(passages, key=lambda p: (-p.score, p.created_us, p.message_id))


def _is_relevant(candidate: Candidate, words: int, threshold: float) -> bool:
    by_words = words > 0 and candidate.matched >= math.ceil(words / 2)
    return by_words or (candidate.cosine is not None and candidate.cosine >= threshold)


def _once(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Keep the oldest of those that say the same."""
    oldest: dict[str, Candidate] = {}
    for each in sorted(candidates, key=lambda c: (c.created_us, c.message_id)):
        oldest.setdefault(normalised(each.text), each)
    return list(oldest.values())


def _fuse(candidates: Sequence[Candidate], words: int, threshold: float) -> list[float]:
    """Score each candidate by both channels, each scaled to its best.

    A channel weighs as much as its best candidate is good in itself, so that one
    which finds only noise cannot drown the other. The scores are scaled by the
    better evidence, so that 1 means a perfect fit and not merely the best one.
    """
    shares = [_share(each, words) for each in candidates]
    cosines = [_clip(each.cosine or 0.0) for each in candidates]
    meanings = [max(cosine - _NOISE * threshold, 0.0) for cosine in cosines]
    best_bm25 = max(each.bm25 for each in candidates) or 1.0
    best_meaning = max(meanings) or 1.0
    lexical_evidence = _WORDS_TO_COSINE * max(shares)
    evidence = lexical_evidence + max(meanings)
    weight = lexical_evidence / evidence if evidence else 0.0
    strength = max(*shares, *cosines)
    return [
        strength
        * (weight * each.bm25 / best_bm25 + (1 - weight) * meaning / best_meaning)
        * (_QUESTION_WEIGHT if each.role == "user" and is_question(each.text) else 1.0)
        for each, meaning in zip(candidates, meanings, strict=True)
    ]


def _share(candidate: Candidate, words: int) -> float:
    return candidate.matched / words if words else 0.0


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
