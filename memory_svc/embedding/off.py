"""The embedder of a service that searches by words alone."""

from __future__ import annotations

from collections.abc import Sequence

from memory_svc.embedding.base import EmbeddingError, ModelStatus
from memory_svc.model import Vector


class NoEmbedder:
    """Stands for a model that is configured but switched off."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.status = ModelStatus("off")

    async def load(self) -> None:
        """Load nothing."""

    async def embed(self, texts: Sequence[str]) -> Vector:
        """Refuse."""
        raise EmbeddingError(f"cannot embed {len(texts)} texts: indexing is off")

    async def embed_query(self, text: str) -> Vector:
        """Refuse."""
        raise EmbeddingError(f"cannot embed a question of {len(text)} characters: indexing is off")

    def close(self) -> None:
        """Close nothing."""
