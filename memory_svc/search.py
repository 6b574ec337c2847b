"""Find a user's passages by words and by meaning, and judge whether they are relevant.

What speaks for a passage is gathered by the store, and weighed in `retrieval.fusion`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil

import numpy as np

from memory_svc.embedding.base import Embedder, EmbeddingError
from memory_svc.model import Found, Passage, Probe, Said, SearchFilter, Vector, passage_of
from memory_svc.reranking import MOST_RERANKED, Reranking
from memory_svc.retrieval.dates import affinity
from memory_svc.retrieval.evidence import Bools, Evidence, Floats
from memory_svc.retrieval.fusion import fit, fused, meaning_evidence
from memory_svc.retrieval.question import Question, read_question
from memory_svc.storage.base import MemoryStore
from memory_svc.words import normalised
from svckit.times import now_us

WORDS, MEANING = "words", "meaning"
CHANNELS = (WORDS, MEANING)

# Of how well the best fits; what fits less is only near by chance.
_LEAST_SHARE_OF_BEST = 0.3
# Who searches, or asks for their own past, wants what fits a little less as well.
_WHERE_MEANT = 0.7
# Some of what was ranked says the same.
_READ_AT_ONCE = 1.5
# What begins with as many of the same words is the same prompt, whatever its task.
_TELLING_WORDS = 60
# Two texts that share so many of their words say almost the same, unless numbers differ.
_ALMOST_ALL = 0.9
# What was said just now may still wait for its vector; nobody misses it.
_MOST_EMBEDDED = 0.9


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate's number and scores, as in `Passage`."""

    message_id: int
    score: float
    lexical_score: float | None
    dense_score: float | None


class Search:
    """Searches one store with one embedder; something must fit as well as `threshold`, 0 to 1."""

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        *,
        threshold: float,
        reranking: Reranking | None = None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._threshold = threshold
        self._reranking = reranking

    async def find(
        self,
        user_id: str,
        query: str,
        where: SearchFilter,
        limit: int,
        *,
        channels: Sequence[str] = CHANNELS,
        unasked: bool = False,
    ) -> Found:
        """Return the user's relevant passages, best first; none if nothing is relevant.

        What is searched `unasked`, for a prompt that may need no memory, must fit better,
        unless it asks for what only a memory knows.
        """
        question = read_question(query, await self._store.speakers(user_id), now_us())
        probe, degraded = await self._probe(question, channels)
        evidence = await self._store.evidence(user_id, probe, where, limit)
        if evidence.embedded < _MOST_EMBEDDED:
            degraded = f"meaning: only {evidence.embedded:.0%} of the memory is embedded by now"
        meant = question.personal or not unasked
        least = self._threshold * (_WHERE_MEANT if meant else 1)
        ranked = rank(evidence, question, threshold=least)
        if self._reranking is None:
            return Found(tuple(await self._passages(user_id, ranked, where, limit)), degraded)
        read = await self._passages(user_id, ranked, where, max(limit, MOST_RERANKED))
        passages, why_not = await self._reranking.rerank(query, read)
        return Found(tuple(passages[:limit]), "; ".join(filter(None, (degraded, why_not))))

    async def _probe(self, question: Question, channels: Sequence[str]) -> tuple[Probe, str]:
        """Return what to compare, and why something is not compared."""
        probe = Probe(named=question.named, times=question.times)
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
        while len(kept) < limit and (part := list(islice(ranked, ceil(_READ_AT_ONCE * limit)))):
            said = await self._store.said(user_id, [each.message_id for each in part], where)
            by_id = {each.message_id: each for each in said}
            for each in part:
                # What is not there was deleted meanwhile.
                if each.message_id in by_id:
                    _keep_older(kept, _passage(each, by_id[each.message_id]))
        return _diverse(kept)[:limit]


def rank(evidence: Evidence, question: Question, *, threshold: float) -> Iterator[Ranked]:
    """Give the relevant candidates, best first; none if nothing fits as well as `threshold`.

    Then so is what fits not much less than the best: an answer need not repeat its question.
    """
    fits = _fits(evidence, question)
    best = float(fits.max(initial=0.0))
    if not best or best < threshold:
        return
    score = fused(evidence, question)
    share = score / max(float(score.max()), 1e-6)
    relevant = (fits >= _LEAST_SHARE_OF_BEST * best) & _says_something(evidence)
    order = np.lexsort((evidence.message_ids, evidence.created_us, -score))
    for n in order[relevant[order]]:
        yield Ranked(
            message_id=int(evidence.message_ids[n]),
            score=_clip(best * float(share[n])),
            lexical_score=int(evidence.matched[n]) / evidence.words if evidence.words else None,
            dense_score=_clip(float(evidence.near[n])) if evidence.compared else None,
        )


def _fits(evidence: Evidence, question: Question) -> Floats:
    if question.times and not question.words:  # "what did we talk about yesterday?"
        return affinity(question.times, evidence.created_us)
    return fit(evidence)


def _says_something(evidence: Evidence) -> Bools:
    """Tell what only stands beside what fits from what bears on the question itself."""
    if not meaning_evidence(evidence):
        return np.ones(len(evidence), dtype=np.bool_)
    return np.asarray((evidence.matched > 0) | (evidence.near > 0))


def _keep_older(kept: dict[str, Passage], passage: Passage) -> None:
    """Keep a passage; of those that say the same the oldest, in the place of the best."""
    same = " ".join(normalised(passage.text).split()[:_TELLING_WORDS])
    if same not in kept:
        kept[same] = passage
    elif passage.created_us < kept[same].created_us:
        kept[same] = replace(passage, score=kept[same].score)


def _diverse(kept: Mapping[str, Passage]) -> list[Passage]:
    """Put what says almost the same as a better one behind all others.

    It is not left out: what differs may be what matters.
    """
    first: list[tuple[frozenset[str], Passage]] = []
    last = []
    for said, passage in kept.items():
        words = frozenset(said.split())
        fewest, most = _ALMOST_ALL * len(words), len(words) / _ALMOST_ALL
        if any(fewest <= len(other) <= most and _is_almost(words, other) for other, _ in first):
            last.append(passage)
        else:
            first.append((words, passage))
    return [*(passage for _, passage in first), *last]


def _is_almost(one: frozenset[str], other: frozenset[str]) -> bool:
    shared = len(one & other)
    if shared < _ALMOST_ALL * (len(one) + len(other) - shared):
        return False
    return not any(map(str.isdigit, "".join(one ^ other)))


def _passage(ranked: Ranked, said: Said) -> Passage:
    return passage_of(
        said,
        score=ranked.score,
        lexical_score=ranked.lexical_score,
        dense_score=ranked.dense_score,
    )


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
