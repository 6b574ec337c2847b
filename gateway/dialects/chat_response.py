"""A whole answer as a `chat.completion`, with every key the OpenAI schema requires."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.chat_message import answer_message_json
from gateway.dialects.logprobs import chat_logprobs
from gateway.dialects.usage import usage_json
from lair.router.v1.chat_pb2 import ChatCompletion, Choice
from svckit.chat_json import with_extra

_RESERVED = frozenset({"error"})
_encode = msgspec.json.Encoder().encode


def completion_json(completion: ChatCompletion) -> bytes:
    """Write a whole answer."""
    out: dict[str, Any] = {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created,
        "model": completion.model,
        "choices": [_choice_json(choice) for choice in completion.choices],
    }
    if completion.HasField("usage"):
        out["usage"] = usage_json(completion.usage)
    return _encode(with_extra(out, completion.extra_json, _RESERVED))


def _choice_json(choice: Choice) -> dict[str, Any]:
    out = {
        "index": choice.index,
        "message": answer_message_json(choice.message),
        "logprobs": chat_logprobs(choice.logprobs_json),
        "finish_reason": choice.finish_reason,
    }
    return with_extra(out, choice.extra_json)
