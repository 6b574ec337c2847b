"""Read questions and passages together with a cross-encoder of sentence-transformers.

It tells better than vectors what answers a question, and takes so much longer that only
the best passages are read. Its library is imported only where one is configured.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from memory_svc.embedding.base import EmbeddingError, ModelStatus
from memory_svc.embedding.onnx_encoder import threads
from memory_svc.embedding.urgent_first import UrgentFirst
from svckit.logging import get_logger

log = get_logger(__name__)

# What a thread reads at once, so that it stops soon where nobody waits any more.
_AT_ONCE = 4


class CrossEncoder:
    """A cross-encoder in a thread of its own: a path, or a name of the hub."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.status = ModelStatus("loading")
        self._loaded: Any = None
        self._thread = UrgentFirst("reranking")

    async def load(self) -> None:
        """Load the model; on failure `status` says so."""
        try:
            self._loaded = await self._thread.run(partial(_open, self.model))
        except EmbeddingError as error:
            self.status = ModelStatus("failed", str(error))
            log.warning("not reranking", model=self.model, error=str(error))
        else:
            self.status = ModelStatus("ready")
            log.info("reranking model ready", model=self.model)

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text answers the question. Raises `EmbeddingError`."""
        scores: list[float] = []
        for first in range(0, len(texts), _AT_ONCE):
            pairs = [(question, text) for text in texts[first : first + _AT_ONCE]]
            scores += await self._thread.run(partial(_read, self._loaded, pairs))
        return scores

    def close(self) -> None:
        """Drop what waits; what runs ends on its own."""
        self._thread.close()


def _open(model: str) -> Any:
    try:
        # Whoever gives a folder wants nothing from the hub.
        is_folder = os.path.isdir(os.path.expanduser(model))  # noqa: PTH111, PTH112  # of a name, too
        import torch  # noqa: PLC0415  # seconds
        from sentence_transformers import CrossEncoder as Model  # noqa: PLC0415  # seconds
        from transformers.utils import logging as transformers_logging  # noqa: PLC0415

        # stderr holds log lines only.
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # partly typed
        torch.set_num_threads(threads())
        opened = os.path.expanduser(model) if is_folder else model  # noqa: PTH111  # as above
        loaded = Model(opened, local_files_only=is_folder)
        _read(loaded, [("", "")])
    except Exception as error:  # its libraries raise of every kind
        raise EmbeddingError(
            f"cannot load the cross-encoder {model!r}: {type(error).__name__}: {error}; "
            "see memory.rerank_model in lair.toml"
        ) from error
    return loaded


def _read(loaded: Any, pairs: Sequence[tuple[str, str]]) -> list[float]:
    try:
        rows = np.asarray(loaded.predict(pairs, show_progress_bar=False), dtype=np.float64)
    except Exception as error:  # as above
        raise EmbeddingError(f"{type(error).__name__}: {error}") from error
    if rows.shape != (len(pairs),) or not np.isfinite(rows).all():
        raise EmbeddingError("it does not give one finite score for each passage")
    scores: list[float] = rows.tolist()
    return scores
