"""What memory_svc asks of an embedding model.

A model takes seconds to load; until then, and if it fails, search goes on by
words alone and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from memory_svc.model import Vector

State = Literal["loading", "ready", "failed", "off"]


class EmbeddingError(Exception):
    """A model cannot be loaded, or cannot embed a text; the message says why."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What a model is doing; `error` says why it failed."""

    state: State
    error: str = ""


class Embedder(Protocol):
    """Turns texts into normalised vectors of one length."""

    @property
    def model(self) -> str:
        """The model's name; vectors of different names are never compared."""
        ...

    @property
    def status(self) -> ModelStatus:
        """What it is doing now."""
        ...

    async def load(self) -> None:
        """Load the model; on failure `status` says so. Returns when it is decided."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vector:
        """Return one row for each text. Raises `EmbeddingError`."""
        ...

    def close(self) -> None:
        """Let go of the model without waiting for work under way."""
        ...
