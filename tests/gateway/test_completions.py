"""Text completions in the dialect of OpenAI: bodies, whole answers, streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.completion_request import parse_completion_request
from gateway.dialects.completion_response import text_completion_json
from gateway.dialects.completion_stream import CompletionStreamEncoder
from lair.common.v1.chat_pb2 import Message, Usage
from lair.router.v1.chat_pb2 import ChatCompletion, ChatEvent, Choice
from lair.router.v1.completion_pb2 import CompletionCall
from svckit.chat_json import with_extra
from svckit.errors import ServiceError
from tests.gateway.requests import texts_of
from tests.gateway.scripted import completed, delta, finish, started, waiting

SCALARS = {
    "suffix": st.text(),
    "max_tokens": st.integers(-1, 10**6),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "n": st.integers(1, 4),
    "best_of": st.integers(4, 128),
    "echo": st.booleans(),
    "logprobs": st.integers(0, 20),
    "seed": st.integers(-(2**63), 2**63 - 1),
    "stop": st.text() | st.lists(st.text(), max_size=4),
    "logit_bias": st.dictionaries(st.text(), st.integers(-100, 100), max_size=2),
    "top_k": st.integers() | st.none(),
}
TOKENS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4)
PROMPTS = st.lists(st.text(), min_size=1, max_size=3) | st.lists(TOKENS, min_size=1, max_size=3)


def parse(**fields: Any) -> CompletionCall:
    return parse_completion_request(json.dumps({"prompt": "Hi"} | fields).encode()).call


def written(call: CompletionCall) -> dict[str, Any]:
    """Write a call as the body it was parsed from; a prompt as the list of its texts."""
    out: dict[str, Any] = {"prompt": texts_of(call.prompts)}
    for name in SCALARS:
        if name == "stop":
            if call.stop:
                out["stop"] = list(call.stop)
        elif name in call.DESCRIPTOR.fields_by_name and call.HasField(name):
            out[name] = getattr(call, name)
    return with_extra(out, call.extra_json)


def chunks(*batches: list[ChatEvent], usage: bool = False) -> list[Any]:
    encoder = CompletionStreamEncoder(include_usage=usage)
    frames = b"".join(encoder.encode(batch) for batch in batches).split(b"\n\n")[:-1]
    assert frames[-1] == b"data: [DONE]"
    assert encoder.finished
    return [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:-1]]


# -- bodies --------------------------------------------------------------------


@given(PROMPTS, st.fixed_dictionaries({}, optional=SCALARS))
def test_a_body_loses_nothing_on_its_way_through_the_contract(prompt: Any, fields: dict[str, Any]):
    assert written(parse(prompt=prompt, **fields)) == {"prompt": prompt} | fields


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [("a", ["a"]), (["a"], ["a"]), ([1, 2], [[1, 2]]), ([[1], [2]], [[1], [2]]), ("", [""])],
)
def test_a_prompt_may_be_one_text_or_several_as_words_or_tokens(prompt: Any, texts: Any):
    assert texts_of(parse(prompt=prompt).prompts) == texts


def test_how_the_answer_is_wanted_is_not_part_of_the_call():
    sent = {"prompt": "x", "stream": True, "stream_options": {"include_usage": True}}
    body = parse_completion_request(json.dumps(sent).encode())
    assert (body.stream, body.include_usage) == (True, True)
    assert body.call.extra_json == b""


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", ["b"]]}, "prompt[1]"),
        ({"prompt": [[1, -2]]}, "prompt[0][1]"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"echo": "yes"}, "echo"),
        ({"suffix": 1}, "suffix"),
        ({"temperature": 3}, "temperature"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ],
)
def test_a_refusal_names_the_field(fields: dict[str, Any], param: str):
    with pytest.raises(ServiceError) as raised:
        parse(**fields)
    assert raised.value.metadata == {"field": param}


# -- whole answers -------------------------------------------------------------


def test_a_whole_answer_has_every_required_key_and_the_vendors_own():
    choice = Choice(
        index=0,
        message=Message(role="assistant", text="there"),
        finish_reason="length",
        logprobs_json=b'{"tokens": ["there"]}',
        extra_json=b'{"stop_reason": 3, "text": "theirs"}',
    )
    answer = ChatCompletion(
        id="cmpl-1",
        created=7,
        model="m",
        choices=[choice],
        usage=Usage(prompt_tokens=1, completion_tokens=2),
        extra_json=b'{"timings": {"n": 1}, "error": "x"}',
    )
    assert json.loads(text_completion_json(answer)) == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "text": "there",
                "logprobs": {"tokens": ["there"]},
                "finish_reason": "length",
                "stop_reason": 3,
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "timings": {"n": 1},
    }


# -- streams -------------------------------------------------------------------


def test_a_stream_is_pieces_then_the_reason_alone():
    said = chunks([started()], [delta("a"), delta("b")], [finish("length"), completed()])
    assert [chunk["choices"] for chunk in said] == [
        [{"index": 0, "text": text, "logprobs": None, "finish_reason": reason}]
        for text, reason in (("a", None), ("b", None), ("", "length"))
    ]
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in said} == {
        ("chatcmpl-1", "text_completion", 1_700_000_000, "qwen3:8b")
    }
    assert all("usage" not in chunk for chunk in said)


def test_usage_comes_once_and_last_where_it_is_asked_for():
    usage = Usage(prompt_tokens=3, completion_tokens=2)
    said = chunks([started(), delta("a"), finish(), completed(usage=usage)], usage=True)
    assert [chunk["usage"] for chunk in said[:-1]] == [None, None]
    assert (said[-1]["choices"], said[-1]["usage"]["total_tokens"]) == ([], 5)


def test_the_vendors_fields_return_to_their_level():
    piece = delta(
        "a",
        logprobs_json=b'{"tokens": ["a"]}',
        choice_extra_json=b'{"token_ids": [1], "text": "theirs"}',
        chunk_extra_json=b'{"system_fingerprint": "f", "error": "x"}',
    )
    end = finish(choice_extra_json=b'{"stop_reason": 9}', chunk_extra_json=b'{"timings": {}}')
    first, last = chunks([started(), piece, end, completed()])
    assert first["choices"][0] == {
        "index": 0,
        "text": "a",
        "logprobs": {"tokens": ["a"]},
        "finish_reason": None,
        "token_ids": [1],
    }
    assert first["system_fingerprint"] == "f"
    assert "error" not in first
    assert (last["choices"][0]["stop_reason"], last["timings"]) == (9, {})


def test_waiting_is_a_comment_and_no_chunk():
    encoder = CompletionStreamEncoder(include_usage=False)
    assert encoder.encode([waiting(2)]) == b": waiting, 2 ahead\n\n"
    assert not encoder.begun


def test_a_failure_is_the_last_event():
    encoder = CompletionStreamEncoder(include_usage=False)
    encoder.encode([started(), delta("a")])
    data = encoder.fail(ServiceError("UPSTREAM_FAILED", "it died"))
    assert json.loads(data.removeprefix(b"data: "))["error"]["message"] == "it died"
    assert not encoder.finished
