"""Token counts as the OpenAI API writes them."""

from __future__ import annotations

from typing import Any

from gateway.dialects.json_extra import optional_json
from lair.common.v1.chat_pb2 import Usage

_PROMPT, _COMPLETION = "prompt_tokens_details", "completion_tokens_details"
_NOTHING: dict[str, Any] = {}


def usage_json(usage: Usage) -> dict[str, Any]:
    """Write token counts: the three the API requires, then each detail that is known."""
    extra = optional_json(usage.extra_json) or _NOTHING
    total = usage.prompt_tokens + usage.completion_tokens
    out: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens if usage.HasField("total_tokens") else total,
    }
    prompt = dict(extra.get(_PROMPT) or _NOTHING)
    if usage.HasField("cached_tokens"):
        prompt["cached_tokens"] = usage.cached_tokens
    if usage.HasField("cache_write_tokens"):
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    completion = dict(extra.get(_COMPLETION) or _NOTHING)
    if usage.HasField("reasoning_tokens"):
        completion["reasoning_tokens"] = usage.reasoning_tokens
    if prompt:
        out[_PROMPT] = prompt
    if completion:
        out[_COMPLETION] = completion
    return extra | out if extra else out
