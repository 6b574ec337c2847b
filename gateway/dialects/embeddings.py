"""Vectors in the dialect of OpenAI: JSON bytes to `EmbeddingCall`, `EmbeddingList` to JSON.

`encoding_format` belongs to the dialect: between services vectors are packed floats,
whoever asks. SDKs ask for base64 unless they are told otherwise.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.dialects.json_body import decode_object
from gateway.dialects.json_extra import INT32_MAX, Fields, optional_json, wrong
from gateway.dialects.request_fields import take_model, take_texts
from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.embedding_pb2 import Embedding, EmbeddingCall, EmbeddingList
from svckit.chat_json import with_extra

_FORMATS = ("float", "base64")
_FLOAT_BYTES = 4
_ERROR = frozenset({"error"})


@dataclass(frozen=True, slots=True)
class EmbeddingBody:
    """A parsed body: the call, and how its vectors are wanted."""

    call: EmbeddingCall
    as_base64: bool


def parse_embedding_request(body: bytes) -> EmbeddingBody:
    """Read a request's body; raise a `ServiceError` that names the field at fault."""
    fields = Fields(decode_object(body), "")
    as_base64 = _take_format(fields) == "base64"
    call = EmbeddingCall(
        model=take_model(fields),
        inputs=take_texts(fields, "input"),
        dimensions=fields.integer("dimensions", 1, INT32_MAX),
    )
    call.extra_json = fields.extra()
    return EmbeddingBody(call, as_base64)


def embeddings_json(result: EmbeddingList, *, as_base64: bool) -> bytes:
    """Write vectors, in base64 or as lists of numbers."""
    out = {
        "object": "list",
        "data": [
            _embedding_json(embedding, index, as_base64=as_base64)
            for index, embedding in enumerate(result.embeddings)
        ],
        "model": result.model,
        "usage": _usage_json(result.usage),
    }
    return msgspec.json.encode(with_extra(out, result.extra_json, reserved=_ERROR))


def _take_format(fields: Fields) -> str:
    value = fields.take("encoding_format")
    if value is None:
        return "float"
    if value not in _FORMATS:
        raise wrong("encoding_format", value, '"float" or "base64"')
    return str(value)


def _embedding_json(embedding: Embedding, index: int, *, as_base64: bool) -> dict[str, Any]:
    packed = embedding.float32_values
    values = (
        base64.b64encode(packed).decode()
        if as_base64
        else struct.unpack(f"<{len(packed) // _FLOAT_BYTES}f", packed)
    )
    out = {"object": "embedding", "index": index, "embedding": values}
    return with_extra(out, embedding.extra_json)


def _usage_json(usage: Usage) -> dict[str, Any]:
    """Write token counts: both are required, and 0 where the backend did not count."""
    total = usage.total_tokens or usage.prompt_tokens
    counts = {"prompt_tokens": usage.prompt_tokens, "total_tokens": total}
    return (optional_json(usage.extra_json) or {}) | counts
