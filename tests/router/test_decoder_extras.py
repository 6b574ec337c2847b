"""What backends send that the contract has no field for arrives, at its level."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lair.router.v1.chat_pb2 import ChatCompletion, ChatEvent
from lair.router.v1.completion_pb2 import CompletionCall
from router_svc.backends.collect import collect
from router_svc.backends.normalise import StreamNormaliser
from router_svc.backends.reply_json import parse_completion
from router_svc.backends.text_stream import TextStream
from tests.router.streams import deltas

SIGNED = {"google": {"thought_signature": "c2ln"}}


def chunk_of(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish} | more.pop("choice", {})
    return json.dumps({"id": "c", "choices": [choice], **more}).encode()


def call(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, **fields}]}


def events_of(*payloads: bytes) -> list[ChatEvent]:
    reader = StreamNormaliser("asked")
    return reader.feed(payloads) + reader.end()


async def collected(*payloads: bytes) -> ChatCompletion:
    async def stream() -> Any:
        yield events_of(*payloads)

    return await collect(stream())


def test_a_signature_of_a_call_arrives_in_a_stream():
    begun = call(id="c1", function={"name": "f", "arguments": "{}"}, extra_content=SIGNED)
    [said] = deltas(events_of(chunk_of(begun), chunk_of(finish="tool_calls")))
    [piece] = said.tool_calls
    assert json.loads(piece.extra_json) == {"extra_content": SIGNED}


def test_a_signature_that_comes_behind_its_call_arrives_too():
    begun = call(id="c1", function={"name": "f", "arguments": "{}"})
    signed = call(extra_content=SIGNED)
    said = deltas(events_of(chunk_of(begun), chunk_of(signed), chunk_of(finish="tool_calls")))
    last = said[-1].tool_calls[0]
    assert (last.index, last.id, last.arguments) == (0, "", "")
    assert json.loads(last.extra_json) == {"extra_content": SIGNED}


def test_fields_of_a_whole_calls_function_arrive():
    function = {"name": "f", "arguments": "{}", "x_sign": 1}
    message = {
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    [said] = parse_completion(json.dumps(body).encode(), "m").choices[0].message.tool_calls
    assert said.function.extra_json == b'{"x_sign":1}'


def test_a_whole_call_of_another_kind_has_no_function():
    custom = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    body = {"choices": [{"message": {"tool_calls": [custom]}, "finish_reason": "tool_calls"}]}
    [said] = parse_completion(json.dumps(body).encode(), "m").choices[0].message.tool_calls
    assert not said.HasField("function")
    assert json.loads(said.extra_json) == {"custom": custom["custom"]}


@pytest.mark.parametrize("names", [("content",), ("content", "annotations")])
def test_a_whole_content_in_parts_is_text_and_reasoning(names: tuple[str, ...]):
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "why"}]},
        {"type": "text", "text": "be"},
        {"type": "text", "text": "cause"},
    ]
    message = dict.fromkeys(names, "x") | {"content": parts}
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}
    said = parse_completion(json.dumps(body).encode(), "m").choices[0].message
    assert (said.text, said.reasoning) == ("because", "why")


async def test_an_answer_put_together_of_a_stream_keeps_the_fields_of_every_level():
    signed = call(id="c1", function={"name": "f", "arguments": "{}"}, x_call=1) | {"x_delta": 2}
    whole = await collected(
        chunk_of({"role": "assistant"}, choice={"x_first": 0}),
        chunk_of(signed, choice={"x_choice": 3}, x_chunk=4),
        chunk_of({}, "tool_calls", choice={"x_end": 5}, x_last=6),
    )
    [choice] = whole.choices
    [said] = choice.message.tool_calls
    assert json.loads(whole.extra_json) == {"x_chunk": 4, "x_last": 6}
    assert json.loads(choice.extra_json) == {"x_first": 0, "x_choice": 3, "x_end": 5}
    assert json.loads(choice.message.extra_json) == {"x_delta": 2}
    assert json.loads(said.extra_json) == {"x_call": 1}


def test_fields_that_come_alone_wait_for_what_is_said_next():
    events = events_of(
        chunk_of({"role": "assistant"}, provider="p"),
        chunk_of({"content": "a"}, provider="p"),
        chunk_of({}, "stop"),
    )
    [said] = deltas(events)
    assert (said.text, said.chunk_extra_json) == ("a", b'{"provider":"p"}')


def test_fields_that_come_alone_at_the_end_come_with_the_reason():
    events = events_of(
        chunk_of({"content": "a"}), chunk_of({}, x_filter="none"), chunk_of({}, "stop")
    )
    finishes = [event.finish for event in events if event.HasField("finish")]
    assert [finish.chunk_extra_json for finish in finishes] == [b'{"x_filter":"none"}']


def test_progress_of_a_text_is_told_while_it_is_made():
    def piece(text: str, done: int, finish: str | None = None) -> bytes:
        choice = {"index": 0, "text": text, "finish_reason": finish}
        return json.dumps({"choices": [choice], "prompt_progress": done}).encode()

    reader = TextStream(_one_prompt(), "m")
    said = [deltas(reader.feed([data])) for data in (piece("", 1), piece("", 2), piece("a", 3))]
    told = [[delta.chunk_extra_json for delta in batch] for batch in said]
    assert told == [
        [],
        [b'{"prompt_progress":1}'],
        [b'{"prompt_progress":2}', b'{"prompt_progress":3}'],
    ]


def _one_prompt() -> CompletionCall:
    call_ = CompletionCall()
    call_.prompts.add(text="Hi")
    return call_
