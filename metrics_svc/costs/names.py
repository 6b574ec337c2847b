"""Which names mean the same open-weight model.

A model is called `qwen3:30b-a3b-q4_K_M` by Ollama, `Qwen3-30B-A3B-GGUF` by its file and
`qwen/qwen3-30b-a3b` by who sells it.
"""

from __future__ import annotations

import re
from functools import lru_cache

# What a name says of packing and tuning, and not of the model.
_PACKING = re.compile(
    r"[-:_.@](gguf|ggml|qat|awq|gptq|exl2|mlx|bnb|free|latest|turbo|instant|instruct|it|chat|hf|v1"
    r"|(i?q\d|fp|bf|int)\d*(_[0-9a-z]+)*|\d+bit|4bit|8bit|fp8|mxfp4|fast|versatile|batch)$"
)
_EXTENSION = re.compile(r"\.gguf$")
# Who made or sells it, where that is no part of the name.
_MAKERS = re.compile(r"^((meta|databricks)-|(meta|openai|qwen|google|mistral|deepseek|zai)\.)")
# Ollama's short names of models that others call in full.
_SHORT = {
    "qwen330b": "qwen330ba3b",
    "qwen3235b": "qwen3235ba22b",
    "qwen3coder30b": "qwen3coder30ba3b",
}


@lru_cache(maxsize=4096)
def plain_name(name: str) -> str:
    """Return the letters and digits by which a model is known, whoever names it."""
    plain = _EXTENSION.sub("", name.lower().rsplit("/", 1)[-1])
    while (shorter := _PACKING.sub("", plain)) != plain:
        plain = shorter
    plain = _MAKERS.sub("", plain)
    letters = re.sub(r"[^a-z0-9]", "", plain)
    return _SHORT.get(letters, letters)
