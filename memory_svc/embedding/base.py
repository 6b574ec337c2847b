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


class Encoder(Protocol):
    """A model in memory, for one thread at a time; what an `Embedder` computes with."""

    @property
    def model(self) -> str:
        """The name that is stored with its vectors."""
        ...

    @property
    def dimensions(self) -> int:
        """How long its vectors are."""
        ...

    def encode(self, texts: Sequence[str], *, query: bool) -> Vector:
        """Return one normalised row for each text; `query` says that they are questions."""
        ...


class Embedder(Protocol):
    """Turns texts into normalised vectors of one length.

    Texts that are longer than the model reads are cut at its end.
    """

    @property
    def model(self) -> str:
        """The model's name, with its precision; vectors of different names are never compared.

        It may become more precise while the model loads, and stays once it is ready.
        """
        ...

    @property
    def status(self) -> ModelStatus:
        """What it is doing now."""
        ...

    async def load(self) -> None:
        """Load the model; on failure `status` says so. Returns when it is decided."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vector:
        """Return one row for each of the texts to be found; questions go before them.

        Raises `EmbeddingError`.
        """
        ...

    async def embed_query(self, text: str) -> Vector:
        """Return the vector of a question, ahead of all texts that wait to be embedded.

        Raises `EmbeddingError`.
        """
        ...

    def close(self) -> None:
        """Let go of the model without waiting for work under way."""
        ...
