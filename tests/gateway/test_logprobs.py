"""What a backend leaves out of its log probabilities is filled in; what it sent stays."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.logprobs import chat_logprobs

TOP = {"token": "Hi", "logprob": -0.5}
ENTRY = {"token": "Hi", "logprob": -0.5, "id": 7}
FULL = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": [{**TOP, "bytes": []}]}


def completed(value: object) -> object:
    return chat_logprobs(json.dumps(value).encode())


def test_none_is_null():
    assert chat_logprobs(b"") is None


def test_the_keys_of_the_schema_are_added():
    assert completed({"content": [{**ENTRY, "top_logprobs": [TOP]}]}) == {
        "content": [{**ENTRY, "bytes": None, "top_logprobs": [{**TOP, "bytes": None}]}],
        "refusal": None,
    }


def test_no_list_of_the_likeliest_is_an_empty_one():
    for entry in (ENTRY, {**ENTRY, "top_logprobs": None}):
        assert completed({"refusal": [entry]}) == {
            "content": None,
            "refusal": [{**ENTRY, "bytes": None, "top_logprobs": []}],
        }


@pytest.mark.parametrize(
    "value",
    [
        {"content": [FULL], "refusal": None, "further": 1},
        {"content": ["no entry"], "refusal": "no list"},
        [],
        "text",
    ],
)
def test_what_was_sent_stays(value):
    assert completed(value) == value
