"""Requests for vectors, and the replies, in the JSON of an OpenAI-compatible server. Pure."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping
from typing import Any

from lair.router.v1.embedding_pb2 import Embedding, EmbeddingCall, EmbeddingList
from router_svc.backends.input_json import input_json
from router_svc.backends.reply_json import (
    SHAPE_ERRORS,
    encode,
    extra_json,
    inband_error,
    misshapen,
    parse_object,
    parse_usage,
)
from router_svc.model import UpstreamError
from svckit.chat_json import with_extra

_FLOAT_BYTES = 4
_LIST_KEYS = frozenset(("object", "data", "model", "usage", "error"))
# `encoding_format` is llama.cpp's, of the form it chose for us.
_ITEM_KEYS = frozenset(("object", "index", "embedding", "encoding_format"))


def encode_embedding_request(call: EmbeddingCall, model: str, *, as_base64: bool) -> bytes:
    """Return the request body; vectors in base64 are a quarter as long as in decimals."""
    body: dict[str, Any] = {"model": model, "input": input_json(call.inputs)}
    if call.HasField("dimensions"):
        body["dimensions"] = call.dimensions
    body["encoding_format"] = "base64" if as_base64 else "float"
    return encode(with_extra(body, call.extra_json))


def parse_embeddings(payload: bytes, call: EmbeddingCall, model: str) -> EmbeddingList:
    """Read a reply, in base64 or not. Raises `UpstreamError` where it does not answer `call`."""
    body = parse_object(payload)
    if body.get("error"):
        raise inband_error(body, payload)
    try:
        embeddings = [_embedding(item) for item in _in_order(body)]
        if len(embeddings) != len(call.inputs):
            raise ValueError(f"{len(embeddings)} vectors for {len(call.inputs)} inputs")
    except (*SHAPE_ERRORS, struct.error, OverflowError) as error:
        raise misshapen(error) from error
    _check_size(embeddings, call)
    return EmbeddingList(
        model=str(body.get("model") or model),
        embeddings=embeddings,
        usage=parse_usage(body.get("usage")),
        extra_json=extra_json(body, _LIST_KEYS),
    )


def _in_order(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the items by their index, which some servers do not keep to."""
    items = list(body.get("data") or ())
    by_index = {int(item.get("index", place)): item for place, item in enumerate(items)}
    if by_index.keys() != set(range(len(items))):
        raise ValueError(f"vectors numbered {sorted(by_index)[:10]}")
    return [by_index[index] for index in range(len(items))]


def _embedding(item: Mapping[str, Any]) -> Embedding:
    given = item.get("embedding")
    if isinstance(given, str):
        packed = base64.b64decode(given, validate=True)
        values = struct.unpack(f"<{len(packed) // _FLOAT_BYTES}f", packed)
    elif isinstance(given, list):
        values = tuple(given)
        packed = struct.pack(f"<{len(values)}f", *values)
    else:
        raise TypeError("an item without a vector")
    # A sum of float32 overflows no double: it is finite if all of them are.
    if not values or not math.isfinite(sum(values)):
        raise ValueError("a vector that is empty or has numbers that are none")
    return Embedding(float32_values=packed, extra_json=extra_json(item, _ITEM_KEYS))


def _check_size(embeddings: list[Embedding], call: EmbeddingCall) -> None:
    """Refuse vectors of another size than was asked for: no store could take them."""
    sizes = {len(embedding.float32_values) // _FLOAT_BYTES for embedding in embeddings}
    if call.HasField("dimensions") and sizes != {call.dimensions}:
        counts = ", ".join(map(str, sorted(sizes)))
        raise UpstreamError(
            "UPSTREAM_REJECTED",
            f"its vectors have {counts} numbers, whatever is asked for, and not {call.dimensions}; "
            "leave dimensions out",
        )
