"""Put the best passages in a better order by a model that reads them with the question.

Optional: without one, or where it takes too long, the order stays as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from memory_svc.embedding.base import EmbeddingError, ModelStatus
from memory_svc.excerpts import excerpt
from memory_svc.model import Passage
from memory_svc.words import content_words

# More take too long, and what stands further behind is seldom the answer.
MOST_RERANKED = 30
# About what such models read.
_BYTES_OF_PASSAGE = 1200
# What a model reads of a short turn says less than its neighbours do.
_SHARE_OF_READING = 0.5


class Reads(Protocol):
    """A model that reads a question and texts together."""

    @property
    def status(self) -> ModelStatus:
        """What it is doing now."""
        ...

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text answers the question. Raises `EmbeddingError`."""
        ...


class Reranking:
    """Reranks with a model, for so many seconds at most."""

    def __init__(self, model: Reads, *, seconds: float) -> None:
        self._model = model
        self._seconds = seconds

    async def rerank(
        self, question: str, passages: Sequence[Passage]
    ) -> tuple[Sequence[Passage], str]:
        """Return passages, best first, and why their order stayed; '' if it did not."""
        if not passages:
            return passages, ""
        if self._model.status.state != "ready":
            error = self._model.status.error or "the model is loading"
            return passages, f"rerank: {error}"
        first, rest = passages[:MOST_RERANKED], passages[MOST_RERANKED:]
        words = content_words(question)
        texts = [excerpt(each.text, words, _BYTES_OF_PASSAGE) for each in first]
        try:
            async with asyncio.timeout(self._seconds):
                scores = await self._model.scores(question[:_BYTES_OF_PASSAGE], texts)
        except TimeoutError:
            return passages, f"rerank: it took longer than {self._seconds * 1000:.0f} ms"
        except EmbeddingError as error:
            return passages, f"rerank: {error}"
        return [*_blended(first, scores), *rest], ""


def _blended(passages: Sequence[Passage], scores: Sequence[float]) -> list[Passage]:
    """Order by what was read and what was found, each from 0 to 1; keep the scores in order."""
    found = _scaled([each.score for each in passages])
    blend = found + _SHARE_OF_READING * (_scaled(scores) - found)
    order = np.argsort(-blend, kind="stable")
    falling = sorted((each.score for each in passages), reverse=True)
    return [replace(passages[n], score=score) for n, score in zip(order, falling, strict=True)]


def _scaled(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    return np.asarray((array - array.min()) / max(float(np.ptp(array)), 1e-9))
