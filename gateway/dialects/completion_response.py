"""A whole answer as a `text_completion`, with every key the OpenAI schema requires."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.json_extra import optional_json
from gateway.dialects.usage import usage_json
from lair.router.v1.chat_pb2 import ChatCompletion, Choice
from svckit.chat_json import with_extra


def text_completion_json(completion: ChatCompletion) -> bytes:
    """Write a whole answer."""
    out: dict[str, Any] = {
        "id": completion.id,
        "object": "text_completion",
        "created": completion.created,
        "model": completion.model,
        "choices": [_choice_json(choice) for choice in completion.choices],
    }
    if completion.HasField("usage"):
        out["usage"] = usage_json(completion.usage)
    return msgspec.json.encode(
        with_extra(out, completion.extra_json, reserved=frozenset({"error"}))
    )


def _choice_json(choice: Choice) -> dict[str, Any]:
    out = {
        "index": choice.index,
        "text": choice.message.text,
        "logprobs": optional_json(choice.logprobs_json),
        "finish_reason": choice.finish_reason,
    }
    return with_extra(out, choice.extra_json)
