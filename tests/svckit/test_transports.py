"""One contract for both transports: a gRPC channel, and straight to the servicer.

Each test scripts the methods of a RouterService and calls it by its stub. How
calls end before their time stands in test_transports_ending.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from lair.router.v1 import chat_pb2
from lair.router.v1.router_service_pb2 import (
    ChatRequest,
    ChatResponse,
    ChatStreamRequest,
    ChatStreamResponse,
    CompleteRequest,
)
from svckit.errors import ServiceError, from_rpc_error
from svckit.logging import bound_request_id
from tests.svckit.scripted_router import (
    PROMPT_SECONDS,
    Connect,
    asking,
    drained,
    finish,
    piece,
    text_of,
)

CODE = grpc.StatusCode

# -- answers and metadata ------------------------------------------------------


async def test_a_unary_call_is_answered(connect_to: Connect) -> None:
    async def chat(request: ChatRequest, _: Any) -> ChatResponse:
        return ChatResponse(completion=chat_pb2.ChatCompletion(model=request.call.model))

    stub = await connect_to(Chat=chat)
    assert (await stub.Chat(asking("m"), timeout=5)).completion.model == "m"


async def test_a_call_that_was_answered_can_be_awaited_again(connect_to: Connect) -> None:
    async def chat(_: ChatRequest, __: Any) -> ChatResponse:
        return ChatResponse(completion=chat_pb2.ChatCompletion(id="1"))

    stub = await connect_to(Chat=chat)
    call = stub.Chat(ChatRequest(), timeout=5)
    assert (await call) == (await call)
    assert call.done()


async def test_a_stream_gives_every_answer_in_order(connect_to: Connect) -> None:
    async def stream(_: Any, __: Any) -> AsyncIterator[ChatStreamResponse]:
        for number in range(50):
            yield piece(str(number))

    stub = await connect_to(ChatStream=stream)
    texts = [text_of(item) async for item in stub.ChatStream(ChatStreamRequest(), timeout=5)]
    assert texts == [str(number) for number in range(50)]


async def test_concurrent_calls_do_not_mix(connect_to: Connect) -> None:
    async def chat(request: ChatRequest, _: Any) -> ChatResponse:
        await asyncio.sleep(0)
        return ChatResponse(completion=chat_pb2.ChatCompletion(model=request.call.model))

    stub = await connect_to(Chat=chat)
    names = [str(number) for number in range(20)]
    answers = await asyncio.gather(*(stub.Chat(asking(name), timeout=5) for name in names))
    assert [answer.completion.model for answer in answers] == names


@pytest.mark.parametrize("as_metadata", [tuple, lambda pairs: grpc.aio.Metadata(*pairs)])
async def test_metadata_reaches_the_servicer_and_the_request_id_its_log(
    connect_to: Connect, as_metadata: Callable[..., Any]
) -> None:
    seen: dict[str, Any] = {}

    def look(context: Any) -> None:
        seen.update(context.invocation_metadata())
        seen["logged"] = bound_request_id()

    async def chat(_: ChatRequest, context: Any) -> ChatResponse:
        look(context)
        return ChatResponse()

    async def stream(_: Any, context: Any) -> AsyncIterator[ChatStreamResponse]:
        look(context)
        yield piece("")

    stub = await connect_to(Chat=chat, ChatStream=stream)
    await stub.Chat(ChatRequest(), timeout=5, metadata=as_metadata([("x-request-id", "r1")]))
    assert (seen["x-request-id"], seen["logged"]) == ("r1", "r1")
    sent = as_metadata([("x-request-id", "r2"), ("x-bin", b"\0\xff")])
    async for _ in stub.ChatStream(ChatStreamRequest(), timeout=5, metadata=sent):
        assert (seen["x-request-id"], seen["logged"]) == ("r2", "r2")
        assert seen["x-bin"] == b"\0\xff"


async def test_the_servicer_sees_how_much_time_remains(connect_to: Connect) -> None:
    seen: list[float | None] = []

    async def chat(_: ChatRequest, context: Any) -> ChatResponse:
        seen.append(context.time_remaining())
        return ChatResponse()

    stub = await connect_to(Chat=chat)
    await stub.Chat(ChatRequest(), timeout=5)
    await stub.Chat(ChatRequest())
    assert seen[0] is not None
    assert 4 < seen[0] <= 5.1  # gRPC rounds up
    assert seen[1] is None


# -- errors --------------------------------------------------------------------

REFUSAL = ServiceError(
    "MODEL_NOT_FOUND", "no backend serves 'llämä'; see /v1/models", model="llämä"
)


def assert_refusal(error: grpc.aio.AioRpcError) -> None:
    assert error.code() is CODE.NOT_FOUND
    back = from_rpc_error(error, "router")
    assert back.reason == REFUSAL.reason
    assert back.message == REFUSAL.message
    assert back.metadata == REFUSAL.metadata


async def test_a_service_error_comes_back_as_it_was_raised(connect_to: Connect) -> None:
    async def chat(_: ChatRequest, __: Any) -> ChatResponse:
        raise REFUSAL

    stub = await connect_to(Chat=chat)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Chat(ChatRequest(), timeout=5)
    assert_refusal(caught.value)


@pytest.mark.parametrize("before", [0, 2])
async def test_a_service_error_ends_a_stream_after_what_was_sent(
    connect_to: Connect, before: int
) -> None:
    async def stream(_: Any, __: Any) -> AsyncIterator[ChatStreamResponse]:
        for _ in range(before):
            yield piece("x")
        raise REFUSAL

    stub = await connect_to(ChatStream=stream)
    call = stub.ChatStream(ChatStreamRequest(), timeout=5)
    for _ in range(before):
        assert text_of(await call.read()) == "x"
    for _ in range(2):  # reading on tells the same again
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert_refusal(caught.value)


async def test_a_long_message_arrives_with_its_reason(connect_to: Connect) -> None:
    async def chat(_: ChatRequest, __: Any) -> ChatResponse:
        raise ServiceError("UPSTREAM_REJECTED", "ü" * 50_000, backend="b" * 50_000)

    stub = await connect_to(Chat=chat)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Chat(ChatRequest(), timeout=5)
    back = from_rpc_error(caught.value, "router")
    assert back.reason == "UPSTREAM_REJECTED"
    assert back.message.startswith("üüü")
    assert back.metadata["backend"].startswith("bbb")


@pytest.mark.parametrize(
    "fault", [ValueError("secret"), TimeoutError("secret"), grpc.aio.UsageError("secret")]
)
async def test_an_unknown_exception_is_internal_and_tells_nothing(
    connect_to: Connect, fault: Exception
) -> None:
    async def chat(_: ChatRequest, __: Any) -> ChatResponse:
        raise fault

    async def stream(_: Any, __: Any) -> AsyncIterator[ChatStreamResponse]:
        yield piece("x")
        raise fault

    stub = await connect_to(Chat=chat, ChatStream=stream)
    for ask in (
        lambda: finish(stub.Chat(ChatRequest(), timeout=5)),
        lambda: drained(stub.ChatStream(ChatStreamRequest(), timeout=5)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask()
        assert caught.value.code() is CODE.INTERNAL
        assert "secret" not in repr(caught.value)
        assert from_rpc_error(caught.value, "router").reason == "INTERNAL"


async def test_an_error_of_a_call_further_down_does_not_pass_for_ones_own(
    connect_to: Connect,
) -> None:
    async def refuse(_: ChatRequest, __: Any) -> ChatResponse:
        raise REFUSAL

    below = await connect_to(Chat=refuse)

    async def chat(request: ChatRequest, _: Any) -> ChatResponse:
        return await below.Chat(request, timeout=5)

    stub = await connect_to(Chat=chat)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Chat(ChatRequest(), timeout=5)
    assert caught.value.code() is CODE.INTERNAL


async def test_methods_that_are_not_written_are_unimplemented(connect_to: Connect) -> None:
    stub = await connect_to()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Complete(CompleteRequest(), timeout=5)
    assert caught.value.code() is CODE.UNIMPLEMENTED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ChatStream(ChatStreamRequest(), timeout=5).read()
    assert caught.value.code() is CODE.UNIMPLEMENTED


# -- the end -------------------------------------------------------------------


async def test_reading_on_after_the_end_is_the_end_again(connect_to: Connect) -> None:
    async def stream(_: Any, __: Any) -> AsyncIterator[ChatStreamResponse]:
        yield piece("only")

    stub = await connect_to(ChatStream=stream)
    call = stub.ChatStream(ChatStreamRequest(), timeout=5)
    assert text_of(await call.read()) == "only"
    assert await call.read() is grpc.aio.EOF
    assert await call.read() is grpc.aio.EOF
    assert call.done()
    iterated = stub.ChatStream(ChatStreamRequest(), timeout=5)
    assert len(await drained(iterated)) == 1
    assert await drained(iterated) == []


async def test_a_reader_gets_each_piece_before_the_next_is_made(connect_to: Connect) -> None:
    go_on = asyncio.Event()

    async def stream(_: Any, __: Any) -> AsyncIterator[ChatStreamResponse]:
        yield piece("first")
        await go_on.wait()
        yield piece("second")

    stub = await connect_to(ChatStream=stream)
    call = stub.ChatStream(ChatStreamRequest(), timeout=5)
    assert text_of(await call.read()) == "first"
    go_on.set()
    assert text_of(await call.read()) == "second"


async def test_an_answer_does_not_wait_for_the_deadline(connect_to: Connect) -> None:
    async def chat(_: ChatRequest, __: Any) -> ChatResponse:
        return ChatResponse()

    stub = await connect_to(Chat=chat)
    before = time.monotonic()
    await stub.Chat(ChatRequest(), timeout=60)
    assert time.monotonic() - before < PROMPT_SECONDS
