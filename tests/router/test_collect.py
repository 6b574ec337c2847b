"""A streamed answer put together is the answer that would have come whole."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import pytest

from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.chat_pb2 import ChatEvent, Completed, Delta, Finish, Started, ToolCallDelta
from router_svc.backends.collect import collect
from router_svc.model import UpstreamError

STARTED = ChatEvent(started=Started(id="c1", created=7, model="m"))
COMPLETED = ChatEvent(
    completed=Completed(usage=Usage(total_tokens=9), extra_json=b'{"timings":{}}')
)


async def stream(*events: ChatEvent) -> AsyncGenerator[list[ChatEvent]]:
    for event in events:
        yield [event]


def delta(**fields: object) -> ChatEvent:
    return ChatEvent(delta=Delta(**fields))  # type: ignore[arg-type]  # whatever a test sets


def finish(reason: str, index: int = 0) -> ChatEvent:
    return ChatEvent(finish=Finish(index=index, reason=reason, choice_extra_json=b'{"w":1}'))


async def test_pieces_become_one_answer() -> None:
    completion = await collect(
        stream(
            STARTED,
            delta(reasoning="be", logprobs_json=b'{"content":[1],"refusal":null}'),
            delta(reasoning="cause", extra_json=b'{"a":1}'),
            delta(text="Hel", logprobs_json=b'{"content":[2]}', extra_json=b'{"b":2}'),
            delta(text="lo"),
            finish("length"),
            COMPLETED,
        )
    )
    assert (completion.id, completion.created, completion.model) == ("c1", 7, "m")
    assert (completion.usage.total_tokens, completion.extra_json) == (9, b'{"timings":{}}')
    [choice] = completion.choices
    assert (choice.message.text, choice.message.reasoning) == ("Hello", "because")
    assert json.loads(choice.message.extra_json) == {"a": 1, "b": 2}
    assert json.loads(choice.logprobs_json) == {"content": [1, 2]}
    assert (choice.finish_reason, choice.extra_json) == ("length", b'{"w":1}')
    assert not choice.message.HasField("refusal")


async def test_calls_are_put_together_and_leave_the_text_unset() -> None:
    pieces = [
        ToolCallDelta(index=0, id="a", type="function", name="f", arguments="{"),
        ToolCallDelta(index=1, id="b", type="function", name="g", arguments="{}"),
        ToolCallDelta(index=0, arguments="}"),
    ]
    events = [delta(tool_calls=[piece]) for piece in pieces]
    completion = await collect(stream(STARTED, *events, finish("tool_calls"), COMPLETED))
    message = completion.choices[0].message
    assert [(call.id, call.function.arguments) for call in message.tool_calls] == [
        ("a", "{}"),
        ("b", "{}"),
    ]
    assert message.WhichOneof("content") is None


async def test_several_answers_come_in_order_and_an_empty_one_is_one() -> None:
    events = [delta(index=1, text="one"), finish("stop", 1), finish("length", 0)]
    completion = await collect(stream(STARTED, *events, COMPLETED))
    assert [(c.index, c.message.text, c.finish_reason) for c in completion.choices] == [
        (0, "", "length"),
        (1, "one", "stop"),
    ]


async def test_what_breaks_the_stream_breaks_the_answer_and_the_stream_is_closed() -> None:
    closed = []

    async def breaking() -> AsyncGenerator[list[ChatEvent]]:
        try:
            yield [STARTED]
            raise UpstreamError("UPSTREAM_FAILED", "gone")
        finally:
            closed.append(True)

    with pytest.raises(UpstreamError, match="gone"):
        await collect(breaking())
    assert closed == [True]
