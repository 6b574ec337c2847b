"""Log probabilities of a chat's tokens, with every key the OpenAI schema requires.

Backends leave keys out: llama.cpp `refusal`, others the bytes of a token. A client
that validates refuses the whole reply for one of them.
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.json_extra import optional_json


def chat_logprobs(document: bytes) -> Any:
    """Return a backend's `logprobs` completed; null where there are none."""
    value = optional_json(document)
    if not isinstance(value, dict):
        return value
    out = {"content": None, "refusal": None, **value}
    for name in ("content", "refusal"):
        if isinstance(out[name], list):
            out[name] = [_entry(entry) for entry in out[name]]
    return out


def _entry(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    out = {"bytes": None, "top_logprobs": [], **entry}
    if isinstance(out["top_logprobs"], list):
        out["top_logprobs"] = [_top(top) for top in out["top_logprobs"]]
    else:
        out["top_logprobs"] = []
    return out


def _top(top: Any) -> Any:
    return {"bytes": None, **top} if isinstance(top, dict) else top
