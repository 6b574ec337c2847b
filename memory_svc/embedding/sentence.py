"""Embed with any sentence-transformers model: exported once, then served by onnxruntime.

torch serves where a model cannot be exported, or where it is asked for. One thread
does all of the work, and a question waits for one slice of what is being indexed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from memory_svc.embedding import exports, sources, weights
from memory_svc.embedding.base import EmbeddingError, Encoder, ModelStatus
from memory_svc.embedding.child import ExportFailed, export_in_child
from memory_svc.embedding.exports import QUANTISATION, Export, Refusal
from memory_svc.embedding.onnx_encoder import OnnxEncoder
from memory_svc.embedding.slices import slices
from memory_svc.embedding.sources import Source
from memory_svc.embedding.torch_encoder import TorchEncoder
from memory_svc.embedding.urgent_first import UrgentFirst
from memory_svc.model import Vector
from svckit.logging import get_logger

log = get_logger(__name__)

Runtime = Literal["auto", "torch"]


class SentenceEmbedder:
    """A sentence-transformers model: the default's installed weights, a path, or a name.

    `models` is the folder of exported models; nobody but this user may look into it.
    `default_folder` says where the default's weights are; the installed ones if None.
    """

    def __init__(
        self,
        model: str,
        models: Path,
        *,
        runtime: Runtime = "auto",
        default_folder: Path | None = None,
    ) -> None:
        self._configured = model
        self._models = models
        self._runtime = runtime
        self._default_folder = default_folder
        self.model = _expected(model, runtime)
        self.status = ModelStatus("loading")
        self._encoder: Encoder | None = None
        self._thread = UrgentFirst("embedding")

    async def load(self) -> None:
        """Load the model, exporting it first where that was not done; on failure say why."""
        try:
            self._encoder = await self._open()
        except (EmbeddingError, OSError) as error:
            self.status = ModelStatus("failed", str(error))
            log.warning("searching by words alone", model=self.model, error=str(error))
        else:
            self.model = self._encoder.model
            self.status = ModelStatus("ready")
            log.info("embedding model ready", model=self.model)

    async def embed(self, texts: Sequence[str]) -> Vector:
        """Return one normalised row for each text, in slices that let questions pass.

        Raises `EmbeddingError`.
        """
        encoder = self._ready()
        rows = np.empty((len(texts), encoder.dimensions), dtype=np.float32)
        for places in slices(texts):
            part = [texts[place] for place in places]
            rows[places] = await self._thread.run(partial(_encode, encoder, part, query=False))
        return rows

    async def embed_query(self, text: str) -> Vector:
        """Return the normalised vector of a question. Raises `EmbeddingError`."""
        encode = partial(_encode, self._ready(), [text], query=True)
        rows: Vector = await self._thread.run(encode, urgent=True)
        vector: Vector = rows[0]
        return vector

    def close(self) -> None:
        """Drop what waits; what runs ends on its own."""
        self._thread.close()

    def _ready(self) -> Encoder:
        if self._encoder is None:
            raise EmbeddingError(f"{self.model} is {self.status.state}")
        return self._encoder

    async def _open(self) -> Encoder:
        source = await self._thread.run(self._source)
        if self._runtime == "torch":
            return await self._thread.run(partial(TorchEncoder, source))
        try:
            return await self._exported(source)
        except (ExportFailed, OSError) as failed:
            log.warning("embedding with torch", model=source.model, reason=str(failed))
        return await self._thread.run(partial(TorchEncoder, source))

    def _source(self) -> Source:
        return sources.find(self._configured, self._default_folder)

    async def _exported(self, source: Source) -> Encoder:
        """Open the export, making it if there is none. Raises `ExportFailed` if none can be had."""
        found = await self._thread.run(partial(exports.find, self._models, source))
        if isinstance(found, Export):
            try:
                return await self._thread.run(partial(OnnxEncoder, found))
            except EmbeddingError as error:
                log.warning("exporting the embedding model again", error=str(error))
                found = None
        if found is None:
            found = await self._export(source)
        if isinstance(found, Refusal):
            raise ExportFailed(found.reason)
        try:
            return await self._thread.run(partial(OnnxEncoder, found))
        except EmbeddingError as error:
            raise ExportFailed(str(error)) from error

    async def _export(self, source: Source) -> Export | Refusal:
        await self._thread.run(source.verify)
        log.info("exporting the embedding model, once; until then words are searched")
        await export_in_child(self._configured, self._models, self._default_folder)
        # What the child fetched from the hub is known only now.
        found = exports.find(self._models, await self._thread.run(self._source))
        if found is None:
            raise ExportFailed(f"no export appeared in {self._models}")
        return found


def _expected(model: str, runtime: Runtime) -> str:
    """Name the vectors of a model before it is loaded, as far as that can be known."""
    if not weights.is_default(model):
        return model
    default = weights.DEFAULT_MODEL
    return default if runtime == "torch" else f"{default}@{QUANTISATION}"


def _encode(encoder: Encoder, texts: Sequence[str], *, query: bool) -> Vector:
    try:
        rows = encoder.encode(texts, query=query)
    except Exception as error:  # its libraries raise of every kind
        raise EmbeddingError(f"{encoder.model}: {type(error).__name__}: {error}") from error
    if not np.isfinite(rows).all():
        raise EmbeddingError(f"{encoder.model}: a vector is not finite")
    return rows
