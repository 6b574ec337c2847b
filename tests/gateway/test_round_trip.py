"""JSON to contract to JSON: what a client sends reaches a backend, and the answer the client.

Identical means the same JSON value, with integers, floats and their signs told apart. Three
things are not kept, as no JSON reader keeps them: the order of fields, all but the last of
fields with one name, and digits of a fraction beyond what a double holds. What lair changes
on purpose is listed in `as_the_backend_gets_it` and `as_the_client_gets_it`, and nowhere else.
"""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.chat_request import parse_chat_request
from gateway.dialects.chat_response import completion_json
from gateway.dialects.chat_stream import ChatStreamEncoder
from lair.router.v1.chat_pb2 import ChatCall, ChatCompletion, ChatEvent
from router_svc.backends.normalise import StreamNormaliser
from router_svc.backends.reply_json import parse_completion
from router_svc.backends.request_json import encode_request
from tests.gateway.conftest import Stack
from tests.gateway.requests_drawn import JSON, NULL_OR_TEXT, REQUEST, SCALAR, TEXT, record
from tests.gateway.wire_rules import chunks_of

_MB = 1024 * 1024


def exact(value: Any) -> Any:
    """Return a value equal to others only if they are the same JSON: 1, 1.0 and true differ."""
    if isinstance(value, dict):
        return {name: exact(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [exact(inner) for inner in value]
    return type(value), repr(value)


def sent_on(body: bytes, *, stream: bool = False) -> Any:
    """Return what a backend gets of a client's body, over gRPC and back."""
    call = parse_chat_request(body).call
    over_the_wire = ChatCall.FromString(call.SerializeToString())
    return json.loads(encode_request(over_the_wire, "served", stream=stream))


def as_the_backend_gets_it(request: dict[str, Any]) -> dict[str, Any]:
    """Do to a request what lair does on purpose."""
    # These are lair's own to answer; the model is the one that was chosen.
    ours = {"stream", "stream_options", "store", "metadata", "model"}
    sent = {name: value for name, value in request.items() if name not in ours}
    sent |= {"model": "served", "stream": False}
    # Servers require the content of an assistant that only calls tools.
    sent["messages"] = [
        {"content": None} | message if message["role"] == "assistant" else message
        for message in request["messages"]
    ]
    return sent


@given(REQUEST, st.booleans())
def test_a_request_reaches_the_backend_as_it_was_sent(request, ascii_only):
    body = json.dumps(request, ensure_ascii=ascii_only).encode()
    assert exact(sent_on(body)) == exact(as_the_backend_gets_it(request))


def test_usage_of_a_stream_is_always_asked_for():
    body = b'{"messages": [{"role": "user", "content": "Hi"}], "stream": true}'
    sent = sent_on(body, stream=True)
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})


def asking(**fields: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": "Hi"}]} | fields).encode()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"9" * 4000, int("9" * 4000)),
        (b"-0.0", -0.0),
        (b"-0", 0),
        (b"1.0", 1.0),
        (b"1e2", 100.0),
        (b"1e-400", 0.0),
        (b"0.1000000000000000055511151231257827", 0.1),
    ],
)
def test_numbers_nobody_checks_keep_their_value_and_kind(written, value):
    body = asking(x="NUMBER").replace(b'"NUMBER"', written)
    assert exact(sent_on(body)["x"]) == exact(value)


def test_whole_numbers_are_as_good_as_fractions_where_the_contract_has_a_double():
    assert exact(sent_on(asking(temperature=1))["temperature"]) == exact(1.0)


def test_of_fields_with_one_name_the_last_counts():
    body = b'{"messages": [{"role": "user", "role": "system", "content": "Hi"}], "x": 1, "x": 2}'
    sent = sent_on(body)
    assert (sent["messages"][0]["role"], sent["x"]) == ("system", 2)


def test_deep_fields_arrive_whole():
    deep: Any = 1
    for level in range(95):
        deep = [deep] if level % 2 else {"": deep}
    assert sent_on(asking(x=deep))["x"] == deep


def picture(megabytes: int) -> dict[str, Any]:
    return {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * (megabytes * _MB // 8)},
    }


def test_pictures_of_10_mb_arrive_whole():
    parts = [{"type": "text", "text": "What is this?"}, picture(10), picture(10)]
    messages = [{"role": "user", "content": parts}]
    assert sent_on(asking(messages=messages))["messages"] == messages


async def test_a_picture_of_10_mb_arrives_whole_over_http(stack: Stack):
    messages = [{"role": "user", "content": [picture(10)]}]
    body, headers = io.BytesIO(asking(messages=messages)), {"content-type": "application/json"}
    url = f"{stack.url}/v1/chat/completions"
    async with stack.http.post(url, data=body, headers=headers) as reply:
        assert reply.status == 200
    sent = json.loads(encode_request(stack.router.calls[0], "served", stream=False))
    assert sent["messages"] == messages


# -- answers -------------------------------------------------------------------------

_COUNT = st.integers(0, 10**6)
_CALL = st.one_of(
    record(
        {
            "id": TEXT.filter(bool),
            "type": st.just("function"),
            "function": record({"name": TEXT, "arguments": TEXT}),
        }
    ),
    record({"id": TEXT.filter(bool), "type": st.just("custom"), "custom": JSON}),
)
_MESSAGE = record(
    {"role": st.just("assistant"), "content": TEXT.filter(bool)},
    {
        "refusal": NULL_OR_TEXT,
        "tool_calls": st.lists(_CALL, min_size=1, max_size=2),
        "reasoning_content": TEXT.filter(bool),
        "annotations": JSON,
        "audio": JSON,
        "function_call": JSON,
    },
)
_CHOICE = record(
    {"message": _MESSAGE, "finish_reason": st.sampled_from(["stop", "length", "tool_calls"])},
    {"logprobs": st.none() | record({}), "stop_reason": JSON, "delta": JSON},
)
_USAGE = record(
    {"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT},
    {
        "prompt_tokens_details": record({}, {"cached_tokens": _COUNT}),
        "completion_tokens_details": record({}, {"reasoning_tokens": _COUNT}),
        "cost": JSON,
    },
)
_REPLY = record(
    {
        "id": TEXT.filter(bool),
        "object": st.just("chat.completion"),
        "created": st.integers(1, 2**40),
        "model": TEXT.filter(bool),
        "choices": st.lists(_CHOICE, min_size=1, max_size=3),
    },
    {"usage": _USAGE, "system_fingerprint": JSON, "service_tier": JSON, "timings": JSON},
)


def as_the_client_gets_it(reply: dict[str, Any]) -> dict[str, Any]:
    """Do to a reply what lair does on purpose."""
    answer = json.loads(json.dumps(reply))
    for index, choice in enumerate(answer["choices"]):
        choice["index"] = index
        if choice.setdefault("logprobs", None) is not None:
            choice["logprobs"] = {"content": None, "refusal": None} | choice["logprobs"]
        message = choice["message"]
        message.setdefault("refusal", None)
        if "reasoning_content" in message:
            message["reasoning"] = message["reasoning_content"]
    return answer


@given(_REPLY)
def test_an_answer_reaches_the_client_as_the_backend_gave_it(reply):
    completion = parse_completion(json.dumps(reply).encode(), "asked")
    over_the_wire = ChatCompletion.FromString(completion.SerializeToString())
    answer = json.loads(completion_json(over_the_wire))
    assert exact(answer) == exact(as_the_client_gets_it(reply))


# Where a vendor's field may stand in a chunk, from the outside in.
_LEVELS = ("chunk", "choice", "delta", "call")
_PLAIN: dict[str, Any] = {level: {} for level in _LEVELS}
_SAYING = st.sampled_from(["", "role", "text", "reasoning", "call"])
_FIELDS = st.dictionaries(st.sampled_from(["x_a", "x_b"]), SCALAR, max_size=2)
_CHUNK = st.tuples(_SAYING, *(_FIELDS for _ in _LEVELS))


def framed(saying: str, vendors: dict[str, Any], finish: str | None = None) -> bytes:
    """Write a chunk as a backend does, with a vendor's fields at every level."""
    delta: dict[str, Any] = {
        "role": {"role": "assistant", "content": ""},
        "text": {"content": "a"},
        "reasoning": {"reasoning": "b"},
        "call": {"tool_calls": [vendors["call"] | {"index": 0, "id": "c1"}]},
    }.get(saying, {})
    choice = {"index": 0, "finish_reason": finish, "delta": vendors["delta"] | delta}
    chunk = {"id": "c", "choices": [vendors["choice"] | choice]}
    return json.dumps(vendors["chunk"] | chunk).encode()


def fields_of(chunks: list[dict[str, Any]]) -> set[str]:
    """Return every vendor's field of chunks, with its level and its value."""
    found = set()
    for chunk in chunks:
        [choice] = chunk["choices"]
        objects = [chunk, choice, choice["delta"], *choice["delta"].get("tool_calls", ())]
        for level, fields in zip((*_LEVELS, "call"), objects, strict=False):
            for name, value in fields.items():
                if name.startswith("x_"):
                    found.add(f"{level}.{name}={exact(value)!r}")
    return found


@given(st.lists(_CHUNK, max_size=6), _FIELDS)
def test_a_vendors_fields_in_a_stream_reach_the_client(drawn, last):
    pieces = [(saying, dict(zip(_LEVELS, given_, strict=True))) for saying, *given_ in drawn]
    payloads = [framed(saying, vendors) for saying, vendors in pieces]
    payloads.append(framed("", _PLAIN | {"chunk": last, "choice": last}, "stop"))
    reader, encoder = StreamNormaliser("asked"), ChatStreamEncoder(include_usage=False)
    events = [event for payload in payloads for event in reader.feed([payload])] + reader.end()
    over_the_wire = [ChatEvent.FromString(event.SerializeToString()) for event in events]
    arrived = fields_of(chunks_of(encoder.encode(over_the_wire)))
    assert arrived == fields_of([json.loads(payload) for payload in payloads])


def test_how_far_a_prompt_is_read_is_told_while_it_is_read():
    def progress(processed: int) -> bytes:
        choice = {"index": 0, "delta": {"role": "assistant", "content": None}}
        return json.dumps({"choices": [choice], "prompt_progress": {"done": processed}}).encode()

    reader = StreamNormaliser("asked")
    said = [reader.feed([progress(done)]) for done in (1, 2, 3)]
    assert [len([e for e in events if e.HasField("delta")]) for events in said] == [0, 1, 1]
    [last] = [e.delta for e in reader.feed([framed("text", _PLAIN)])]
    assert (last.text, last.chunk_extra_json) == ("a", b'{"prompt_progress":{"done":3}}')
