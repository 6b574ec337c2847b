"""Embed with an exported model: onnxruntime and tokenizers, neither torch nor its gigabytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from memory_svc.embedding.base import EmbeddingError
from memory_svc.embedding.exports import GRAPH, TOKENIZER, Export
from memory_svc.model import Vector

# Words are shorter, so nothing is cut here that the model would have read.
_CHARACTERS_PER_TOKEN = 20
_MOST_THREADS = 4
# Names of the graph's inputs and output.
IDS, MASK, OUTPUT = "input_ids", "attention_mask", "normalised"


class OnnxEncoder:
    """An exported model in memory, for one thread.

    Raises `EmbeddingError` if the export is damaged or does not run here.
    """

    def __init__(self, export: Export) -> None:
        manifest = export.manifest
        self.model = manifest.model
        self.dimensions = manifest.dimensions
        self._manifest = manifest
        graph, tokenizer = export.read(GRAPH), export.read(TOKENIZER)
        try:
            self._tokenizer = _open_tokenizer(tokenizer, manifest.max_tokens)
            self._session = _open_session(graph)
            self.encode([""], query=True)  # the first run takes its memory
        except Exception as error:  # its libraries raise of every kind
            raise EmbeddingError(
                f"{export.folder} does not run: {type(error).__name__}: {error}"
            ) from error

    def encode(self, texts: Sequence[str], *, query: bool) -> Vector:
        """Return one normalised row for each text."""
        prompt = self._manifest.query_prompt if query else self._manifest.document_prompt
        most = self._manifest.max_tokens * _CHARACTERS_PER_TOKEN
        # One by one: a batch would start threads of the library's own.
        tokens = [self._tokenizer.encode(f"{prompt}{text[:most]}").ids for text in texts]
        shape = (len(tokens), max(1, *map(len, tokens)))
        ids = np.full(shape, self._manifest.pad_id, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, own in enumerate(tokens):
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        [rows] = self._session.run([OUTPUT], {IDS: ids, MASK: mask})
        return np.asarray(rows, dtype=np.float32)


def threads() -> int:
    """Return how many threads a model may compute with: the other half of the cores serves."""
    return max(1, min(_MOST_THREADS, (os.cpu_count() or 1) // 2))


def _open_tokenizer(content: bytes, max_tokens: int) -> Any:
    from tokenizers import Tokenizer  # noqa: PLC0415  # only where a model is loaded

    tokenizer = Tokenizer.from_str(content.decode())
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return tokenizer


def _open_session(graph: bytes) -> Any:
    import onnxruntime  # noqa: PLC0415  # a tenth of a second

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    # Threads that wait for the next question would burn the cores that serve.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors: stderr holds log lines only
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
