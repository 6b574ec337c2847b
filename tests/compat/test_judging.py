"""The judge of what clients were sent finds what is wrong with it, and nothing where nothing is."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.compat import document, strict_models
from tests.compat.document import Judge, document_path, with_type_unions
from tests.compat.judging import verdict_on
from tests.compat.recorder import Exchange

HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
OPENED = {"role": "assistant", "content": ""}
STREAM = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "x-request-id": "r1",
}
WHOLE = {"content-type": "application/json", "x-request-id": "r1"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
DELTA_EVENT = {
    "type": "response.output_text.delta",
    "item_id": "i",
    "output_index": 0,
    "content_index": 0,
    "delta": "Hi",
    "logprobs": [],
    "sequence_number": 0,
}

judges: dict[str, Judge] = {"types": strict_models.violations}
path = document_path()
if path:
    judges["document"] = document.official(path)
by_each_judge = pytest.mark.parametrize("judge", judges.values(), ids=judges)


def completion(**changed: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hi", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    head = {**HEAD, "object": "chat.completion"}
    return {**head, "choices": [choice], "usage": USAGE, **changed}


def chunk(delta: dict[str, Any], reason: str | None = None, **changed: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {**HEAD, "choices": [{**choice, **changed}]}


def without(value: dict[str, Any], *path: Any) -> dict[str, Any]:
    """Return a copy without the key at the end of `path`."""
    copy = json.loads(json.dumps(value))
    place = copy
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return copy


def streamed(*events: Any, end: str = "data: [DONE]\n\n", **changed: Any) -> Exchange:
    """Return a streamed chat."""
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + end
    fields = {"body": b'{"stream": true}', "headers": STREAM, "complete": True, **changed}
    return Exchange(
        "POST",
        "/v1/chat/completions",
        request_headers={},
        status=200,
        reply=text.encode(),
        **fields,
    )


def answered(path: str, value: Any, status: int = 200, method: str = "POST", **sent: Any) -> Any:
    """Return the verdict on a whole reply."""
    exchange = Exchange(method, path, json.dumps(sent).encode(), {}, status, WHOLE)
    exchange.reply, exchange.complete = json.dumps(value).encode(), True
    return verdict_on([exchange])


ANSWER = [chunk(OPENED), chunk({"content": "Hi"}), chunk({}, "stop")]


# -- single values -------------------------------------------------------------


@by_each_judge
def test_right_values_are_right(judge: Judge) -> None:
    assert judge("CreateChatCompletionResponse", completion()) == []
    assert judge("CreateChatCompletionStreamResponse", chunk({"content": "Hi"})) == []
    assert judge("CreateChatCompletionStreamResponse", chunk({}, "stop")) == []
    assert judge("ResponseStreamEvent", DELTA_EVENT) == []


@by_each_judge
@pytest.mark.parametrize(
    "path",
    [
        ("id",),
        ("created",),
        ("choices", 0, "logprobs"),
        ("choices", 0, "finish_reason"),
        ("choices", 0, "message", "refusal"),
        ("choices", 0, "message", "content"),
        ("usage", "total_tokens"),
    ],
)
def test_a_key_that_is_missing_from_an_answer_is_found(judge: Judge, path: Any) -> None:
    assert judge("CreateChatCompletionResponse", without(completion(), *path))


@by_each_judge
@pytest.mark.parametrize("path", [("model",), ("choices", 0, "finish_reason"), ("choices",)])
def test_a_key_that_is_missing_from_a_chunk_is_found(judge: Judge, path: Any) -> None:
    assert judge("CreateChatCompletionStreamResponse", without(ANSWER[1], *path))


@by_each_judge
@pytest.mark.parametrize(
    "changed",
    [
        {"created": 1700000000.0},
        {"object": "chat.completion.chunks"},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "eos", "logprobs": None}]},
        {"choices": [{"index": "0", "delta": {}, "finish_reason": None, "logprobs": None}]},
        {"usage": {"prompt_tokens": 1}},
    ],
)
def test_a_wrong_value_in_a_chunk_is_found(judge: Judge, changed: dict[str, Any]) -> None:
    assert judge("CreateChatCompletionStreamResponse", {**ANSWER[1], **changed})


@by_each_judge
def test_an_event_that_lacks_its_number_or_its_place_is_found(judge: Judge) -> None:
    for name in ("sequence_number", "content_index", "item_id"):
        assert judge("ResponseStreamEvent", without(DELTA_EVENT, name))
    assert judge("ResponseStreamEvent", {**DELTA_EVENT, "type": "response.nothing"})


@by_each_judge
def test_an_error_without_all_four_keys_is_found(judge: Judge) -> None:
    error = {"message": "m", "type": "t", "param": None, "code": None}
    assert judge("ErrorResponse", {"error": error}) == []
    for name in error:
        assert judge("ErrorResponse", {"error": without(error, name)})
    assert judge("ErrorResponse", {"error": "text"})


def test_the_environment_says_where_the_document_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(document.PATH_VARIABLE, "elsewhere.json.gz")
    assert document_path() == Path("elsewhere.json.gz")


def test_nullable_becomes_a_type_union() -> None:
    assert with_type_unions(
        {
            "a": {"type": "string", "enum": ["x"], "nullable": True},
            "b": [{"$ref": "#/B", "nullable": True}],
            "c": {"type": "string", "nullable": False},
        }
    ) == {
        "a": {"type": ["string", "null"], "enum": ["x", None]},
        "b": [{"anyOf": [{"$ref": "#/B"}, {"type": "null"}]}],
        "c": {"type": "string", "nullable": False},
    }


# -- whole exchanges -----------------------------------------------------------


def test_a_right_stream_is_counted_and_found_right() -> None:
    verdict = verdict_on([streamed(*ANSWER)])
    assert (verdict.violations, verdict.events) == ([], 3)


BROKEN = {
    "no logprobs": streamed(ANSWER[0], without(ANSWER[1], "choices", 0, "logprobs"), ANSWER[2]),
    "no reason": streamed(ANSWER[0], without(ANSWER[1], "choices", 0, "finish_reason"), ANSWER[2]),
    "two ids": streamed(ANSWER[0], {**ANSWER[1], "id": "c2"}, ANSWER[2]),
    "role twice": streamed(ANSWER[0], chunk(OPENED), ANSWER[2]),
    "text with the reason": streamed(ANSWER[0], chunk({"content": "Hi"}, "stop")),
    "never a reason": streamed(*ANSWER[:2]),
    "no end": streamed(*ANSWER, end=""),
    "an event without data": streamed(*ANSWER, end="event: ping\n\ndata: [DONE]\n\n"),
    "usage unasked": streamed(*ANSWER, {**HEAD, "choices": [], "usage": USAGE}),
    "no request id": streamed(*ANSWER, headers=without(STREAM, "x-request-id")),
    "to be cached": streamed(*ANSWER, headers={**STREAM, "cache-control": "max-age=60"}),
    "half an error": streamed({"error": {"message": "m"}}, end=""),
}


@pytest.mark.parametrize("exchange", BROKEN.values(), ids=BROKEN)
def test_a_broken_stream_is_found(exchange: Exchange) -> None:
    assert verdict_on([exchange]).violations


def test_a_stream_whose_client_left_is_judged_up_to_there() -> None:
    torn = streamed(*ANSWER[:2], end='data: {"id":', complete=False)
    assert verdict_on([torn]).violations == []
    torn.reply = torn.reply.replace(b'"finish_reason": null', b'"finish_reason": "eos"')
    assert verdict_on([torn]).violations
    assert verdict_on([streamed(end="", complete=False)]).violations == []


def test_replies_are_found_by_each_form_of_their_path() -> None:
    for path in ("/v1/chat/completions", "/chat/completions", "/p/x/v1/chat/completions"):
        assert answered(path, completion()).violations == []
        assert answered(path, without(completion(), "choices", 0, "logprobs")).violations
    assert answered("/v1/unheard-of", {}).violations
    assert answered("/memory/search", {}).replies == 0


def test_faults_of_ours_are_found() -> None:
    error = {"error": {"message": "m", "type": "server_error", "param": None, "code": None}}
    assert answered("/v1/chat/completions", error, 503).violations == []
    assert answered("/v1/chat/completions", error, 500).violations
    assert answered("/v1/chat/completions", {"detail": "no"}, 404).violations


@pytest.mark.parametrize(("encoding", "right"), [("base64", True), ("float", False), (None, False)])
def test_vectors_come_as_they_were_asked_for(encoding: str | None, right: object) -> None:
    packed = base64.b64encode(struct.pack("<2f", 0.5, -1)).decode()
    vector = {"object": "embedding", "index": 0, "embedding": packed}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    reply = {"object": "list", "model": "m", "data": [vector], "usage": usage}
    verdict = answered("/v1/embeddings", reply, encoding_format=encoding)
    assert (verdict.violations == []) is right


def test_events_of_a_response_are_named_and_numbered() -> None:
    def verdict(name: str, number: int) -> Any:
        event = {**DELTA_EVENT, "sequence_number": number}
        exchange = streamed(end=f"event: {name}\ndata: {json.dumps(event)}\n\n")
        exchange.path = "/v1/responses"
        return verdict_on([exchange])

    assert verdict(DELTA_EVENT["type"], 0).violations == []
    assert verdict(DELTA_EVENT["type"], 1).violations
    assert verdict("response.other", 0).violations
