"""Evidence of candidates that differ only in what a test says."""

from typing import Any

import numpy as np

from memory_svc.retrieval.evidence import Evidence

_PLAIN: dict[str, tuple[Any, Any]] = {
    "conversations": (1, np.int64),
    "created_us": (0, np.int64),
    "by_user": (False, np.bool_),
    "by_named": (False, np.bool_),
    "marks": (0, np.uint8),
    "turn": (0, np.float32),
    "window": (0, np.float32),
    "wide": (0, np.float32),
    "coverage": (0, np.float32),
    "matched": (0, np.int64),
    "near": (0, np.float32),
    "around": (0, np.float32),
    "vicinity": (0, np.float32),
    "asked": (0, np.float32),
}


def evidence(
    *candidates: dict[str, Any],
    words: int = 2,
    compared: bool = True,
    agreement: float = 1.0,
    mean_length: float = 20.0,
) -> Evidence:
    """Return evidence with a row for each candidate, numbered from 0 unless it says its `id`."""
    columns = {
        name: np.array([each.get(name, default) for each in candidates], dtype=kind)
        for name, (default, kind) in _PLAIN.items()
    }
    ids = [each.get("id", n) for n, each in enumerate(candidates)]
    return Evidence(
        message_ids=np.array(ids, dtype=np.int64),
        words=words,
        compared=compared,
        agreement=agreement,
        mean_length=mean_length,
        **columns,
    )


def by_words(matched: int, *, words: int = 2, **other: Any) -> dict[str, Any]:
    """Return a candidate that has some of the question's words, as rare as each other."""
    share = matched / words
    scores = dict.fromkeys(("turn", "window", "wide"), float(matched))
    return {"matched": matched, "coverage": share, **scores, **other}


def by_meaning(cosine: float, **other: Any) -> dict[str, Any]:
    """Return a candidate whose vectors all have this cosine."""
    return {**dict.fromkeys(("near", "around", "vicinity"), cosine), **other}
