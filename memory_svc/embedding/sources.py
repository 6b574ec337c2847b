"""Where a configured model's files are, and what tells them from others.

A name means the installed default, a folder, or a model of the hub. What the hub's
cache does not have yet has no fingerprint until it was loaded once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from memory_svc.embedding import weights
from memory_svc.embedding.base import EmbeddingError

# What a model's folder may hold that it is not loaded from.
_UNREAD_FOLDERS = ("onnx", "openvino")
_READ_SUFFIXES = (".json", ".txt", ".model", ".safetensors", ".bin", ".py")
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Source:
    """A model as it is opened: `opened` is a folder or a name of the hub.

    `fingerprint` differs where its files do, and is empty while they are not here.
    `is_default` says that they are the installed ones, whose hash lair knows.
    """

    name: str
    opened: str
    fingerprint: str
    is_default: bool = False

    @property
    def key(self) -> str:
        """Its name and fingerprint, fit for a folder's name; empty without a fingerprint."""
        return f"{self.name}-{self.fingerprint[:_SHORT]}" if self.fingerprint else ""

    @property
    def model(self) -> str:
        """What is stored with its vectors: the same only where the files are."""
        return self.name if self.is_default else self.key or self.name

    def verify(self) -> None:
        """Raise `EmbeddingError` if these are not the files that lair knows them to be."""
        if self.is_default:
            weights.verify(Path(self.opened))


def find(model: str, default_folder: Path | None = None) -> Source:
    """Return what a configured name means. Raises `EmbeddingError` where it can mean nothing.

    `default_folder` says where the default's weights are; the installed ones if None.
    """
    if weights.is_default(model):
        folder = default_folder or weights.default_weights()
        return Source(weights.DEFAULT_MODEL, str(folder), weights.SHA256, is_default=True)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return Source(_plain(folder.resolve().name), str(folder), _of_files(folder))
    if model.startswith(("/", ".", "~")) or model.count("/") > 1:
        raise EmbeddingError(f"there is no folder {model}; see memory.embedding_model in lair.toml")
    return Source(_plain(model), model, _commit(model))


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "model"


def _of_files(folder: Path) -> str:
    """Hash the files that a model in `folder` is made of."""
    whole = hashlib.sha256()
    try:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.suffix in _READ_SUFFIXES and inside.parts[0] not in _UNREAD_FOLDERS:
                with file.open("rb") as opened:
                    digest = hashlib.file_digest(opened, "sha256").hexdigest()
                whole.update(f"{inside.as_posix()} {digest}\n".encode())
    except OSError as error:
        raise EmbeddingError(f"{error.filename} cannot be read: {error.strerror}") from error
    return whole.hexdigest()


def _commit(name: str) -> str:
    """Return which commit of a model the hub's cache has; empty if none."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415  # slow; the default needs none
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    names = (name,) if "/" in name else (f"sentence-transformers/{name}", name)
    for each in names:
        try:
            return Path(snapshot_download(each, local_files_only=True)).name
        except LocalEntryNotFoundError:
            continue
        except HFValidationError as error:
            raise EmbeddingError(
                f"{name!r} is no model's name: {error}; see memory.embedding_model in lair.toml"
            ) from error
    return ""
