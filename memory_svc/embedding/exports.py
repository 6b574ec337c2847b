"""The exported models in the data directory: what they consist of, and whether they are whole.

An export is a folder that appears in one step, made by `export`, and is never
changed. Its manifest holds the hashes of its files, which are checked at each load.
A model that could not be exported well leaves its refusal instead, so that the next
start need not try again with the same libraries.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import msgspec

from memory_svc.embedding.base import EmbeddingError
from memory_svc.embedding.sources import Source

T = TypeVar("T")

GRAPH, TOKENIZER = "model.onnx", "tokenizer.json"
MANIFEST, REFUSAL = "manifest.json", "refused.json"
# Counts up when exports are made otherwise, so that older ones are made again.
FORMAT = 1
QUANTISATION = "int8"
# The exit code of `export` that says: the model itself cannot be loaded, so torch need not try.
CANNOT_LOAD = 4
_LIBRARIES = ("onnx", "onnxruntime", "onnxscript", "sentence-transformers", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export is. `agreement_*` are cosines of its vectors and torch's."""

    format: int
    model: str
    source: str
    quantisation: str
    dimensions: int
    max_tokens: int
    pad_id: int
    pooling: str
    query_prompt: str
    document_prompt: str
    agreement_mean: float
    agreement_least: float
    made_by: str
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class Export:
    """A finished export, not yet checked."""

    folder: Path
    manifest: Manifest

    def read(self, name: str) -> bytes:
        """Return a file's content. Raises `EmbeddingError` unless it is what was exported."""
        file = self.folder / name
        try:
            content = file.read_bytes()
        except OSError as error:
            raise EmbeddingError(f"{file} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != self.manifest.sha256.get(name):
            raise EmbeddingError(f"{file} is not what was exported: its SHA-256 is another")
        return content


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model cannot be exported by these libraries."""

    format: int
    reason: str
    made_by: str


def find(models: Path, source: Source) -> Export | Refusal | None:
    """Return the export of `source`, or why there can be none; None if it is to be made."""
    folder = models / source.key
    if not source.key or not folder.is_dir():
        return None
    manifest = _read(folder / MANIFEST, Manifest)
    if manifest is not None and manifest.format == FORMAT:
        return Export(folder, manifest)
    refusal = _read(folder / REFUSAL, Refusal)
    if refusal is not None and (refusal.format, refusal.made_by) == (FORMAT, made_by()):
        return refusal
    return None


def put(models: Path, key: str, partial: Path, content: Manifest | Refusal) -> None:
    """Make the folder `partial`, on the same disk, the export `key` in one step."""
    name = MANIFEST if isinstance(content, Manifest) else REFUSAL
    (partial / name).write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
    shutil.rmtree(models / key, ignore_errors=True)
    partial.rename(models / key)


def made_by() -> str:
    """Name the versions of the libraries that exports are made with."""
    return ", ".join(f"{library} {_version(library)}" for library in _LIBRARIES)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def _read(file: Path, kind: type[T]) -> T | None:
    """Decode a file; None where it is missing or says something else."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None
