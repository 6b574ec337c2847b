"""Every fault that backends were seen with comes out as a clean answer or a clean error.

The faults are those of genuine servers and of their bug trackers; each test plays one on
the scripted backend and looks at what the router makes of it. Those of no server in
particular are in `test_faults_of_any.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, ImageUrl, Message
from lair.router.v1.chat_pb2 import ChatCall, ChatEvent, FunctionSpec, Tool
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.fakes.answers import (
    DONE,
    Answer,
    chunk,
    completion,
    event,
    greeting,
    model_entry,
    reply,
    stream,
    usage_chunk,
    usage_of,
)
from tests.fakes.openai_server import OpenAIServer
from tests.router.streams import choice, deltas, finishes
from tests.router.world import (
    World,
    answer,
    asking,
    both_ways,
    events,
    failure,
    kinds,
    say,
    text_of,
)

STOP = chunk(finish="stop")


@pytest.fixture
async def llamacpp(world: World, server: OpenAIServer) -> AsyncIterator[RouterServiceStub]:
    """Give a router over one backend that signs as llama.cpp."""
    server.models = reply({"data": [{**model_entry("tiny"), "owned_by": "llamacpp"}]})
    async with world.router(server) as stub:
        yield stub


def role_chunk(index: int) -> bytes:
    return choice({"role": "assistant", "content": None}, index=index)


def calls(*pieces: dict[str, Any], finish: str | None = None) -> bytes:
    return choice({"tool_calls": list(pieces)}, finish=finish)


def piece(arguments: str, *, name: str | None = None, **more: Any) -> dict[str, Any]:
    named = {} if name is None else {"name": name}
    return {"type": "function", "function": {**named, "arguments": arguments}, **more}


def called(said: list[ChatEvent]) -> list[tuple[str, str]]:
    """Put name and arguments of each call together, as a client does."""
    whole: dict[int, list[str]] = {}
    for part in (part for delta in deltas(said) for part in delta.tool_calls):
        pair = whole.setdefault(part.index, ["", ""])
        pair[0] += part.name
        pair[1] += part.arguments
    assert list(whole) == list(range(len(whole)))
    return [(name, arguments) for name, arguments in whole.values()]


def reasoning_of(said: list[ChatEvent]) -> str:
    return "".join(delta.reasoning for delta in deltas(said))


# -- llama.cpp -----------------------------------------------------------------

TWO_ANSWERS = stream(
    role_chunk(1), chunk("one", index=1), role_chunk(0), chunk("zero", index=0),
    chunk(finish="stop", index=1), usage_chunk(14, 4),
    chunk(finish="length", index=0), usage_chunk(14, 3), DONE,
)  # fmt: skip


async def test_two_answers_that_begin_with_the_second_and_bring_a_usage_each(
    llamacpp: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(TWO_ANSWERS)
    said = await events(llamacpp, asking("hi", n=2))
    assert {delta.index: delta.text for delta in deltas(said)} == {0: "zero", 1: "one"}
    assert finishes(said) == [(0, "length"), (1, "stop")]
    usage = said[-1].completed.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (14, 7, 21)


async def test_a_whole_reply_with_two_answers_whose_usage_would_count_one(
    llamacpp: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(TWO_ANSWERS)
    whole = (await answer(llamacpp, asking("hi", n=2))).completion
    assert [(c.index, c.message.text) for c in whole.choices] == [(0, "zero"), (1, "one")]
    assert (whole.usage.completion_tokens, whole.usage.total_tokens) == (7, 21)


async def test_answers_that_come_one_after_the_other_are_all_waited_for(
    llamacpp: RouterServiceStub, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router_svc.backends.connection._TAIL_SECONDS", 0.05)
    server.script(
        stream(
            chunk("one", index=1), chunk(finish="stop", index=1), usage_chunk(14, 4), 0.2,
            chunk("zero", index=0), chunk(finish="stop", index=0), usage_chunk(14, 3), DONE,
        )
    )  # fmt: skip
    said = await events(llamacpp, asking("hi", n=2))
    assert finishes(said) == [(0, "stop"), (1, "stop")]
    assert said[-1].completed.usage.completion_tokens == 7


NO_EYES = reply(
    {
        "error": {
            "code": 500,
            "message": "image input is not supported - hint: if this is unexpected, you may need "
            "to provide the mmproj",
            "type": "server_error",
        }
    },
    500,
)


def looking() -> ChatCall:
    image = ContentPart(type="image_url", image_url=ImageUrl(url="data:image/png;base64,AA=="))
    return asking(messages=[Message(role="user", parts=ContentParts(parts=[image]))])


@both_ways
async def test_a_500_for_a_picture_is_the_clients_400_and_is_not_retried(
    llamacpp: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    server.script(NO_EYES)
    error = await failure(say(llamacpp, looking(), streamed=streamed))
    assert (error.reason, error.meaning.http, error.meaning.retry) == (
        "UPSTREAM_REJECTED",
        400,
        False,
    )
    assert "image input is not supported" in error.message
    assert len(server.received) == 1


async def test_a_500_for_a_picture_lets_a_backend_with_eyes_answer(
    world: World, server: OpenAIServer, other: OpenAIServer
) -> None:
    server.script(NO_EYES)
    async with world.router(server, other) as router:
        assert (await answer(router, looking())).route.backend == "b"


@both_ways
async def test_a_501_is_a_refusal_that_another_backend_may_not_share(
    world: World, server: OpenAIServer, other: OpenAIServer, streamed: bool
) -> None:
    missing = {"code": 501, "message": "This server does not support embeddings", "type": "x"}
    server.script(reply({"error": missing}, 501))
    async with world.router(server) as router:
        error = await failure(say(router, asking("hi"), streamed=streamed))
    assert (error.reason, error.meaning.retry) == ("UPSTREAM_REJECTED", False)
    async with world.router(server, other) as router:
        assert await say(router, asking("hi"), streamed=streamed) == "Hello there"


async def test_probabilities_beside_streamed_tools_are_not_asked_for(
    llamacpp: RouterServiceStub, server: OpenAIServer
) -> None:
    def pedantic(body: dict[str, Any]) -> Answer:
        if "logprobs" in body and body.get("tools") and body["stream"]:
            return reply({"error": {"message": "logprobs is not supported with tools"}}, 400)
        return greeting(body)

    server.script(pedantic)
    tools = [Tool(function=FunctionSpec(name="f"))]
    call = asking("hi", tools=tools, extra_json=b'{"logprobs":true}')
    assert text_of(await events(llamacpp, call)) == "Hello there"


# -- older Ollama, LM Studio ---------------------------------------------------


async def test_the_role_in_every_chunk(router: RouterServiceStub, server: OpenAIServer) -> None:
    pieces = [choice({"role": "assistant", "content": text}) for text in ("Hel", "lo", "")]
    server.script(stream(*pieces, STOP, DONE))
    said = await events(router, asking("hi"))
    assert [delta.text for delta in deltas(said)] == ["Hel", "lo"]
    assert not any(delta.extra_json for delta in deltas(said))


@pytest.mark.parametrize("index", [{}, {"index": 0}], ids=["without index", "all 0"])
async def test_tool_calls_that_are_not_numbered(
    router: RouterServiceStub, server: OpenAIServer, index: dict[str, int]
) -> None:
    pieces = [piece("{}", name=name, id=f"id {name}", **index) for name in ("f", "g")]
    server.script(stream(*map(calls, pieces), chunk(finish="tool_calls"), DONE))
    assert called(await events(router, asking("hi"))) == [("f", "{}"), ("g", "{}")]


async def test_the_name_of_a_tool_repeated_in_every_delta(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    parts = ["{", '"a":1', "}"]
    pieces = [piece(part, name="add_two_numbers", id="c1", index=0) for part in parts]
    server.script(stream(*map(calls, pieces), chunk(finish="tool_calls"), DONE))
    assert called(await events(router, asking("hi"))) == [("add_two_numbers", '{"a":1}')]


async def test_an_empty_function_name_behind_the_first_packet(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    pieces = [piece("", name="f", id="c1", index=0), piece("{}", name="", index=0)]
    server.script(stream(*map(calls, pieces), chunk(finish="tool_calls"), DONE))
    assert called(await events(router, asking("hi"))) == [("f", "{}")]


async def test_parallel_calls_are_all_told(router: RouterServiceStub, server: OpenAIServer) -> None:
    both = [piece("{}", name="f", id="a", index=0), piece("{}", name="f", id="b", index=1)]
    server.script(stream(calls(*both, finish="tool_calls"), DONE))
    assert called(await events(router, asking("hi"))) == [("f", "{}"), ("f", "{}")]


async def test_the_end_without_a_reason(router: RouterServiceStub, server: OpenAIServer) -> None:
    server.script(stream(chunk("Hel"), chunk("lo")))
    error = await failure(events(router, asking("hi")))
    assert (error.reason, "middle of an answer" in error.message) == ("UPSTREAM_FAILED", True)


async def test_an_error_that_is_swallowed_into_an_empty_chunk_and_the_end(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    swallowed = event({"id": "", "object": "chat.completion.chunk", "created": 0, "choices": []})
    server.script(stream(chunk("Hel"), swallowed))
    assert (await failure(events(router, asking("hi")))).reason == "UPSTREAM_FAILED"


# -- vLLM ----------------------------------------------------------------------


async def test_reasoning_and_content_in_one_chunk(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(stream(choice({"reasoning": "why", "content": "be"}), chunk("cause"), STOP, DONE))
    said = await events(router, asking("hi"))
    assert (reasoning_of(said), text_of(said)) == ("why", "because")


async def test_the_reason_with_the_last_token(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(stream(chunk("Hel"), chunk("lo", finish="length"), usage_chunk(5, 2), DONE))
    said = await events(router, asking("hi"))
    assert kinds(said) == ["started", "delta", "delta", "finish", "completed"]
    assert (text_of(said), finishes(said)) == ("Hello", [(0, "length")])


async def test_a_missing_reason_key(router: RouterServiceStub, server: OpenAIServer) -> None:
    bare = [event({"choices": [{"index": 0, "delta": {"content": t}}]}) for t in ("Hel", "lo")]
    server.script(stream(*bare, STOP, DONE))
    assert text_of(await events(router, asking("hi"))) == "Hello"


async def test_an_answer_told_as_reasoning_only(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(stream(choice({"reasoning": "Hel"}), choice({"reasoning": "lo"}), STOP, DONE))
    said = await events(router, asking("hi"))
    assert text_of(said) == "Hello"
    assert kinds(said)[-3:] == ["delta", "finish", "completed"]


async def test_a_whole_answer_told_as_reasoning_only(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    message = {"role": "assistant", "content": None, "reasoning_content": "Hello"}
    server.script(reply({"choices": [{"message": message, "finish_reason": "stop"}]}))
    said = (await answer(router, asking("hi"))).completion.choices[0].message
    assert (said.text, said.reasoning) == ("Hello", "")


@both_ways
async def test_reasoning_that_was_cut_off_is_no_answer(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    message = {"role": "assistant", "content": None, "reasoning": "Hm"}
    server.script(
        stream(choice({"reasoning": "Hm"}), chunk(finish="length"), DONE)
        if streamed
        else reply({"choices": [{"message": message, "finish_reason": "length"}]})
    )
    assert await say(router, asking("hi"), streamed=streamed) == ""


async def test_usage_behind_the_reason_is_read_to_the_end(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    server.script(stream(chunk("a"), STOP, 0.05, usage_chunk(5, 2), DONE))
    assert (await events(router, asking("hi")))[-1].completed.usage.total_tokens == 7


async def test_usage_that_counts_up_in_every_chunk(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    counted = [chunk("a", index=n % 2, usage=usage_of(5, n)) for n in range(1, 5)]
    ends = [chunk(finish="stop", index=n, usage=usage_of(5, 4)) for n in range(2)]
    server.script(stream(*counted, *ends, usage_chunk(5, 4), DONE))
    assert (await events(router, asking("hi", n=2)))[-1].completed.usage.completion_tokens == 4


# -- transformers serve --------------------------------------------------------


async def test_no_done_and_a_created_that_is_a_float(
    router: RouterServiceStub, server: OpenAIServer
) -> None:
    bare = {"id": "c", "created": 1763000000.75, "model": "tiny"}
    server.script(
        stream(
            event({**bare, "choices": [{"index": 0, "delta": {"content": "Hello"}}]}),
            event({**bare, "choices": [{"delta": {}, "finish_reason": "stop"}]}),
        )
    )
    said = await events(router, asking("hi"))
    assert (said[0].started.created, text_of(said)) == (1763000000, "Hello")


@both_ways
async def test_an_error_in_the_words_of_a_web_framework(
    router: RouterServiceStub, server: OpenAIServer, streamed: bool
) -> None:
    server.script(reply({"detail": "Unexpected fields in the request: {'top_k'}"}, 422))
    error = await failure(say(router, asking("hi"), streamed=streamed))
    assert (error.reason, error.meaning.http) == ("UPSTREAM_REJECTED", 400)
    assert "Unexpected fields" in error.message


async def test_unknown_fields_are_kept_from_who_answers_422_to_them(
    world: World, server: OpenAIServer
) -> None:
    server.models = reply({"data": [{**model_entry("tiny"), "created": 1763000000.5}]})

    def strict(body: dict[str, Any]) -> Answer:
        unknown = body.keys() & {"top_k", "min_p"}
        return (
            reply({"detail": f"Unexpected fields: {unknown}"}, 422) if unknown else completion("a")
        )

    server.script(strict)
    async with world.router(server) as router:
        call = asking("hi", extra_json=b'{"top_k":40,"min_p":0.1}')
        assert (await answer(router, call)).completion.choices[0].message.text == "a"
