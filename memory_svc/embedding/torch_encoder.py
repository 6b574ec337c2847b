"""Embed with sentence-transformers, as a model's authors publish it: by torch, on a GPU if any.

Importing the library takes seconds and hundreds of megabytes, so it is imported only
where it serves or exports a model.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from memory_svc.embedding.base import EmbeddingError
from memory_svc.embedding.onnx_encoder import threads
from memory_svc.embedding.sources import Source
from memory_svc.model import Vector

# Passages are shorter; a longer question takes seconds and gigabytes.
_MOST_TOKENS = 512


class TorchEncoder:
    """A model of sentence-transformers in memory, for one thread.

    Raises `EmbeddingError` if it cannot be loaded.
    """

    def __init__(self, source: Source, *, device: str | None = None) -> None:
        source.verify()
        self.model = source.model
        self.loaded = _open(source, device)
        self.max_tokens = min(self.loaded.max_seq_length or _MOST_TOKENS, _MOST_TOKENS)
        self.loaded.max_seq_length = self.max_tokens
        self.dimensions = self.encode([""], query=True).shape[1]

    def encode(self, texts: Sequence[str], *, query: bool) -> Vector:
        """Return one normalised row for each text."""
        encode = self.loaded.encode_query if query else self.loaded.encode_document
        rows = encode(
            list(texts),
            convert_to_numpy=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.asarray(rows, dtype=np.float32)


def _open(source: Source, device: str | None) -> Any:
    if source.is_default:
        # The default works offline, and asks nobody whether there is a newer one.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import torch  # noqa: PLC0415  # seconds
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # seconds
        from transformers.utils import logging as transformers_logging  # noqa: PLC0415

        # stderr holds log lines only.
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # partly typed
        torch.set_num_threads(threads())
        return SentenceTransformer(source.opened, device=device, local_files_only=source.is_default)
    except Exception as error:  # its libraries raise of every kind
        raise EmbeddingError(
            f"cannot load the embedding model {source.opened!r}: {type(error).__name__}: {error}; "
            "see memory.embedding_model in lair.toml"
        ) from error
