"""Vectors in the dialect of OpenAI: what is taken, refused, and written."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.embeddings import embeddings_json, parse_embedding_request
from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.embedding_pb2 import Embedding, EmbeddingCall, EmbeddingList
from lair.router.v1.input_pb2 import TextInput, TokenList
from svckit.errors import ServiceError
from tests.gateway.requests import texts_of

TOKENS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5)
INPUTS = st.one_of(
    st.text(),
    TOKENS,
    st.lists(st.text(), min_size=1, max_size=4),
    st.lists(TOKENS, min_size=1, max_size=4),
)
VECTORS = st.lists(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8),
    min_size=1,
    max_size=4,
)


def parse(**fields: Any) -> EmbeddingCall:
    return parse_embedding_request(json.dumps({"input": "Hi"} | fields).encode()).call


def refusal(**fields: Any) -> ServiceError:
    with pytest.raises(ServiceError) as raised:
        parse_embedding_request(json.dumps(fields).encode())
    return raised.value


def packed(*vectors: list[float]) -> EmbeddingList:
    return EmbeddingList(
        model="m",
        embeddings=[Embedding(float32_values=struct.pack(f"<{len(v)}f", *v)) for v in vectors],
    )


@given(INPUTS)
def test_every_form_of_input_keeps_its_texts_and_their_order(given_input: Any):
    call = parse(input=given_input)
    nested = isinstance(given_input, list) and isinstance(given_input[0], str | list)
    assert texts_of(call.inputs) == (given_input if nested else [given_input])


def test_a_token_list_is_one_input_and_a_list_of_them_is_several():
    assert list(parse(input=[1, 2]).inputs) == [TextInput(tokens=TokenList(ids=[1, 2]))]
    assert len(parse(input=[[1, 2], [3]]).inputs) == 2


def test_what_lair_does_not_know_goes_to_the_backend():
    call = parse(model="m", dimensions=64, user="ann", truncate=True, encoding_format="float")
    assert (call.model, call.dimensions) == ("m", 64)
    assert json.loads(call.extra_json) == {"user": "ann", "truncate": True}


@pytest.mark.parametrize(
    ("sent", "as_base64"),
    [({}, False), ({"encoding_format": None}, False), ({"encoding_format": "base64"}, True)],
)
def test_vectors_are_lists_unless_base64_is_asked_for(sent: dict[str, Any], as_base64: bool):
    body = parse_embedding_request(json.dumps({"input": "x"} | sent).encode())
    assert body.as_base64 is as_base64
    assert body.call.extra_json == b""


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({}, "input", "missing"),
        ({"input": None}, "input", "null"),
        ({"input": []}, "input", "an empty list"),
        ({"input": {"text": "x"}}, "input", "an object"),
        ({"input": 7}, "input", "is 7"),
        ({"input": ["a", 1]}, "input[1]", "is 1"),
        ({"input": [1, "a"]}, "input[1]", '"a"'),
        ({"input": [1, True]}, "input[1]", "true"),
        ({"input": [-1]}, "input[0]", "-1"),
        ({"input": [2**31]}, "input[0]", "2147483648"),
        ({"input": [[1], []]}, "input[1]", "an empty list"),
        ({"input": [[1], "a"]}, "input[1]", '"a"'),
        ({"input": [[1, 0.5]]}, "input[0][1]", "0.5"),
        ({"input": "x", "dimensions": 0}, "dimensions", "is 0"),
        ({"input": "x", "dimensions": "8"}, "dimensions", '"8"'),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format", '"int8"'),
        ({"input": "x", "encoding_format": ["float"]}, "encoding_format", "a list"),
        ({"input": "x", "model": 3}, "model", "is 3"),
    ],
)
def test_a_refusal_names_the_field_and_what_was_sent(fields: Any, param: str, said: str):
    error = refusal(**fields)
    assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", param)
    assert said in error.message


@given(VECTORS)
def test_base64_and_lists_are_the_same_numbers(vectors: list[list[float]]):
    result = packed(*vectors)
    listed = json.loads(embeddings_json(result, as_base64=False))["data"]
    coded = json.loads(embeddings_json(result, as_base64=True))["data"]
    assert [item["embedding"] for item in listed] == vectors
    assert [item["index"] for item in listed] == list(range(len(vectors)))
    for item, vector in zip(coded, vectors, strict=True):
        raw = base64.b64decode(item["embedding"])
        assert list(struct.unpack(f"<{len(vector)}f", raw)) == vector


def test_a_reply_has_every_required_key_and_the_vendors_own():
    result = packed([1.0])
    result.usage.CopyFrom(Usage(prompt_tokens=3, extra_json=b'{"cost": 0.5}'))
    result.embeddings[0].extra_json = b'{"truncated": true, "index": 9}'
    result.extra_json = b'{"id": "e1", "error": "x"}'
    assert json.loads(embeddings_json(result, as_base64=False)) == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0], "truncated": True}],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3, "cost": 0.5},
        "id": "e1",
    }


def test_usage_is_there_where_nobody_counted_for_the_api_requires_it():
    usage = json.loads(embeddings_json(packed([1.0]), as_base64=False))["usage"]
    assert usage == {"prompt_tokens": 0, "total_tokens": 0}
