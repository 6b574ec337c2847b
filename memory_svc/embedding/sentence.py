"""Embed with sentence-transformers, in one thread that loads the model first.

Importing the library takes seconds, so it is imported in that thread and nowhere
else. torch gets half of the machine's cores: the other half serves.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from memory_svc.embedding import weights
from memory_svc.embedding.base import EmbeddingError, ModelStatus
from memory_svc.model import Vector
from svckit.logging import get_logger

log = get_logger(__name__)


class SentenceEmbedder:
    """A sentence-transformers model: the default's installed weights, a path, or a name.

    `default_folder` says where the default's weights are; the installed ones if None.
    """

    def __init__(self, model: str, *, default_folder: Path | None = None) -> None:
        self._configured = model
        self._default_folder = default_folder
        self.model = weights.DEFAULT_MODEL if weights.is_default(model) else model
        self.status = ModelStatus("loading")
        self._encoder: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedding")

    async def load(self) -> None:
        """Load the model in its thread; on failure `status` says why."""
        loop = asyncio.get_running_loop()
        try:
            self._encoder = await loop.run_in_executor(self._thread, self._load)
        except EmbeddingError as error:
            self.status = ModelStatus("failed", str(error))
            log.warning("searching by words alone", model=self.model, error=str(error))
        else:
            self.status = ModelStatus("ready")
            log.info("embedding model ready", model=self.model)

    async def embed(self, texts: Sequence[str]) -> Vector:
        """Return one normalised row for each text. Raises `EmbeddingError`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(self._encode, list(texts)))

    def close(self) -> None:
        """Drop what waits; what runs ends on its own."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _load(self) -> Any:
        if not weights.is_default(self._configured):
            return _open(self._configured)
        folder = self._default_folder or weights.default_weights()
        weights.verify(folder)
        # The default works offline, and asks nobody whether there is a newer one.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        return _open(str(folder), local_files_only=True)

    def _encode(self, texts: list[str]) -> Vector:
        try:
            vectors = self._encoder.encode(
                texts,
                convert_to_numpy=True,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        except Exception as error:  # its libraries raise of every kind
            raise EmbeddingError(f"{self.model}: {type(error).__name__}: {error}") from error
        rows = np.asarray(vectors, dtype=np.float32)
        if not np.isfinite(rows).all():
            raise EmbeddingError(f"{self.model}: a vector is not finite")
        return rows


def _open(path_or_name: str, **options: Any) -> Any:
    try:
        import torch  # noqa: PLC0415  # seconds
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # seconds
        from transformers.utils import logging as transformers_logging  # noqa: PLC0415

        # stderr holds log lines only.
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # partly typed
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
        return SentenceTransformer(path_or_name, device="cpu", **options)
    except Exception as error:  # its libraries raise of every kind
        raise EmbeddingError(
            f"cannot load the embedding model {path_or_name!r}: {type(error).__name__}: {error}; "
            "see memory.embedding_model in lair.toml"
        ) from error
