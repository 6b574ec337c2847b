"""Find a user's passages by words and by meaning, and judge whether they are relevant.

What speaks for a passage is gathered by the store, and weighed in `retrieval.fusion`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from memory_svc.embedding.base import Embedder, EmbeddingError
from memory_svc.model import Found, Passage, Probe, Said, SearchFilter, Vector
from memory_svc.retrieval.evidence import Bools, Evidence
from memory_svc.retrieval.fusion import fused, meaning_evidence, strengths
from memory_svc.retrieval.question import Question, read_question
from memory_svc.storage.base import MemoryStore
from memory_svc.words import normalised
from svckit.times import now_us

WORDS, MEANING = "words", "meaning"
CHANNELS = (WORDS, MEANING)

# Of the best score; what has less is only near by chance.
_LEAST_SHARE_OF_BEST = 0.4
# Some of what was ranked says the same.
_READ_AT_ONCE = 2
_ENOUGH_WORDS = 0.4
# A turn beside a good one has nothing to do with the question if it is as far from it.
_LEAST_COSINE = 0.05


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate's number and scores, as in `Passage`."""

    message_id: int
    score: float
    lexical_score: float | None
    dense_score: float | None


class Search:
    """Searches one store with one embedder; `threshold` is a least cosine."""

    def __init__(self, store: MemoryStore, embedder: Embedder, *, threshold: float) -> None:
        self._store = store
        self._embedder = embedder
        self._threshold = threshold

    async def find(
        self,
        user_id: str,
        query: str,
        where: SearchFilter,
        limit: int,
        *,
        channels: Sequence[str] = CHANNELS,
    ) -> Found:
        """Return the user's relevant passages, best first; none if nothing is relevant."""
        question = read_question(query, await self._store.speakers(user_id), now_us())
        probe, degraded = await self._probe(question, channels)
        evidence = await self._store.evidence(user_id, probe, where, limit)
        ranked = rank(evidence, question, threshold=self._threshold)
        return Found(tuple(await self._passages(user_id, ranked, where, limit)), degraded)

    async def _probe(self, question: Question, channels: Sequence[str]) -> tuple[Probe, str]:
        """Return what to compare, and why something is not compared."""
        probe = Probe(named=question.named)
        if WORDS in channels:
            probe = replace(probe, words=question.words, phrases=question.phrases)
        if MEANING not in channels:
            return probe, ""
        vectors, degraded = await self._vectors(question)
        if vectors is None:
            return probe, degraded
        vector, bare = vectors
        return replace(probe, vector=vector, bare_vector=bare, model=self._embedder.model), ""

    async def _vectors(self, question: Question) -> tuple[tuple[Vector, Vector] | None, str]:
        """Embed the question as it is and without names; or say why that is not done."""
        status = self._embedder.status
        if status.state == "failed":
            return None, f"meaning: the embedding model failed: {status.error}"
        if status.state == "off":
            return None, "meaning: indexing is off"
        if status.state == "loading":
            return None, "meaning: the embedding model is loading"
        texts = dict.fromkeys((question.text, question.bare))
        try:
            found = await asyncio.gather(*map(self._embedder.embed_query, texts))
        except EmbeddingError as error:
            return None, f"meaning: the query was not embedded: {error}"
        return (found[0], found[-1]), ""

    async def _passages(
        self, user_id: str, ranked: Iterator[Ranked], where: SearchFilter, limit: int
    ) -> list[Passage]:
        """Read the best until there are `limit` that differ."""
        kept: dict[str, Passage] = {}
        while len(kept) < limit and (part := list(islice(ranked, _READ_AT_ONCE * limit))):
            said = await self._store.said(user_id, [each.message_id for each in part], where)
            by_id = {each.message_id: each for each in said}
            for each in part:
                # What is not there was deleted meanwhile.
                if each.message_id in by_id:
                    _keep_older(kept, _passage(each, by_id[each.message_id]))
        return list(kept.values())[:limit]


def rank(evidence: Evidence, question: Question, *, threshold: float) -> Iterator[Ranked]:
    """Give the relevant candidates, best first; none if nothing is relevant.

    Something is relevant if it has enough of the question's words in its window, or a
    cosine of at least `threshold`. Then so is what scores not much less than the best:
    an answer need not repeat its question.
    """
    if not _is_anything_relevant(evidence, threshold):
        return
    score = fused(evidence, question, threshold)
    share = score / max(float(score.max()), 1e-6)
    relevant = (share >= _LEAST_SHARE_OF_BEST) & _is_near(evidence, threshold)
    fit = float(strengths(evidence)[relevant].max(initial=0.0))
    order = np.lexsort((evidence.message_ids, evidence.created_us, -score))
    for n in order[relevant[order]]:
        yield Ranked(
            message_id=int(evidence.message_ids[n]),
            score=fit * min(float(share[n]), 1.0),
            lexical_score=int(evidence.matched[n]) / evidence.words if evidence.words else None,
            dense_score=_clip(float(evidence.near[n])) if evidence.compared else None,
        )


def _is_anything_relevant(evidence: Evidence, threshold: float) -> bool:
    by_words = evidence.window_matched >= max(math.ceil(_ENOUGH_WORDS * evidence.words), 1)
    by_meaning = np.maximum(evidence.near, evidence.around) >= threshold
    return bool(np.any(by_words | (by_meaning & evidence.compared)))


def _is_near(evidence: Evidence, threshold: float) -> Bools:
    """Tell which have a word of the question, or stand where it is spoken of."""
    beside = evidence.window_matched > 0
    if meaning_evidence(evidence, threshold):
        beside = beside | (np.maximum(evidence.near, evidence.around) >= threshold / 2)
        beside = beside & (evidence.near >= _LEAST_COSINE)
    return np.asarray((evidence.matched > 0) | beside)


def _keep_older(kept: dict[str, Passage], passage: Passage) -> None:
    """Keep a passage; of those that say the same the oldest, in the place of the best."""
    same = normalised(passage.text)
    if same not in kept:
        kept[same] = passage
    elif passage.created_us < kept[same].created_us:
        kept[same] = replace(passage, score=kept[same].score)


def _passage(ranked: Ranked, said: Said) -> Passage:
    return Passage(
        message_id=said.message_id,
        conversation_id=said.conversation_id,
        conversation_title=said.conversation_title,
        role=said.role,
        text=said.text,
        created_us=said.created_us,
        score=ranked.score,
        lexical_score=ranked.lexical_score,
        dense_score=ranked.dense_score,
    )


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
