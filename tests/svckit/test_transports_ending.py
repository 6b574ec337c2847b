"""Deadlines and cancellation, the same over both transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from lair.router.v1.router_service_pb2 import (
    ChatRequest,
    ChatResponse,
    ChatStreamRequest,
    ChatStreamResponse,
)
from svckit.errors import from_rpc_error, invalid_field
from tests.svckit.scripted_router import (
    Connect,
    Hanging,
    drained,
    finish,
    piece,
    prompt,
    read_to_the_end,
    text_of,
)

CODE = grpc.StatusCode

# -- deadlines -----------------------------------------------------------------


async def test_a_unary_deadline_ends_the_call_and_the_servicer(connect_to: Connect) -> None:
    hanging = Hanging()
    stub = await connect_to(Chat=hanging.chat)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Chat(ChatRequest(), timeout=0.05)
    assert caught.value.code() is CODE.DEADLINE_EXCEEDED
    assert from_rpc_error(caught.value, "router").reason == "DEADLINE_EXCEEDED"
    await prompt(hanging.ended)
    assert hanging.cause is asyncio.CancelledError


async def test_a_stream_deadline_ends_the_call_and_the_servicer(connect_to: Connect) -> None:
    hanging = Hanging()
    stub = await connect_to(ChatStream=hanging.stream)
    call = stub.ChatStream(ChatStreamRequest(), timeout=0.1)
    assert text_of(await call.read()) == "first"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is CODE.DEADLINE_EXCEEDED
    await prompt(hanging.ended)
    assert hanging.cause is asyncio.CancelledError


async def test_a_deadline_ends_a_stream_that_nobody_reads(connect_to: Connect) -> None:
    ended = asyncio.Event()

    async def stream(_: Any, __: Any) -> AsyncIterator[ChatStreamResponse]:
        try:
            while True:
                yield piece("more" * 10_000)
        finally:
            ended.set()

    stub = await connect_to(ChatStream=stream)
    call = stub.ChatStream(ChatStreamRequest(), timeout=0.2)
    await call.read()
    await prompt(ended)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_to_the_end(call)
    assert caught.value.code() is CODE.DEADLINE_EXCEEDED


async def test_a_deadline_that_has_passed_fails_at_once(connect_to: Connect) -> None:
    async def chat(_: ChatRequest, __: Any) -> ChatResponse:
        return ChatResponse()

    async def stream(_: Any, __: Any) -> AsyncIterator[ChatStreamResponse]:
        yield piece("")

    stub = await connect_to(Chat=chat, ChatStream=stream)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Chat(ChatRequest(), timeout=-1)
    assert caught.value.code() is CODE.DEADLINE_EXCEEDED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ChatStream(ChatStreamRequest(), timeout=-1).read()
    assert caught.value.code() is CODE.DEADLINE_EXCEEDED


async def test_a_servicer_that_goes_on_after_its_deadline_answers_nobody(
    connect_to: Connect,
) -> None:
    async def stubborn(_: ChatRequest, __: Any) -> ChatResponse:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return ChatResponse()
        raise AssertionError

    stub = await connect_to(Chat=stubborn)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Chat(ChatRequest(), timeout=0.05)
    assert caught.value.code() is CODE.DEADLINE_EXCEEDED


async def test_an_error_raised_because_of_the_deadline_does_not_hide_it(
    connect_to: Connect,
) -> None:
    async def chat(_: ChatRequest, __: Any) -> ChatResponse:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise invalid_field("a", "too late") from None
        raise AssertionError

    stub = await connect_to(Chat=chat)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Chat(ChatRequest(), timeout=0.05)
    assert caught.value.code() is CODE.DEADLINE_EXCEEDED


# -- cancellation --------------------------------------------------------------


async def test_cancelling_a_unary_call_ends_the_servicer(connect_to: Connect) -> None:
    hanging = Hanging()
    stub = await connect_to(Chat=hanging.chat)
    call = stub.Chat(ChatRequest(), timeout=30)
    awaiting = asyncio.ensure_future(finish(call))
    await prompt(hanging.began)
    assert call.cancel()
    await prompt(hanging.ended)
    assert hanging.cause is asyncio.CancelledError
    assert await awaiting == "CancelledError"
    assert not call.cancel()


async def test_cancelling_who_awaits_a_unary_call_ends_the_servicer(connect_to: Connect) -> None:
    hanging = Hanging()
    stub = await connect_to(Chat=hanging.chat)

    async def ask() -> None:
        await stub.Chat(ChatRequest(), timeout=30)

    task = asyncio.ensure_future(ask())
    await prompt(hanging.began)
    task.cancel()
    await prompt(hanging.ended)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_a_stream_that_is_read_ends_the_servicer(connect_to: Connect) -> None:
    hanging = Hanging()
    stub = await connect_to(ChatStream=hanging.stream)
    call = stub.ChatStream(ChatStreamRequest(), timeout=30)
    reading = asyncio.ensure_future(finish(drained(call)))
    await prompt(hanging.began)
    assert call.cancel()
    await prompt(hanging.ended)
    assert hanging.cause is asyncio.CancelledError
    assert await reading == "CancelledError"
    assert not call.cancel()


async def test_the_reader_of_a_cancelled_stream_can_go_on_with_other_work(
    connect_to: Connect,
) -> None:
    hanging = Hanging()
    stub = await connect_to(ChatStream=hanging.stream)
    call = stub.ChatStream(ChatStreamRequest(), timeout=30)

    async def read_then_work() -> int:
        assert await finish(drained(call)) == "CancelledError"
        task = asyncio.current_task()
        assert task
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return task.cancelling()

    reading = asyncio.ensure_future(read_then_work())
    await prompt(hanging.began)
    call.cancel()
    assert await reading == 0


async def test_cancelling_who_reads_a_stream_ends_the_servicer(connect_to: Connect) -> None:
    hanging = Hanging()
    stub = await connect_to(ChatStream=hanging.stream)
    call = stub.ChatStream(ChatStreamRequest(), timeout=30)
    # gRPC forgets to end a call whose reader is cancelled while the request is still
    # being sent: who must be sure ends the call itself.
    assert text_of(await call.read()) == "first"
    reading = asyncio.ensure_future(call.read())
    await asyncio.sleep(0)  # the reader begins to wait
    await prompt(hanging.began)
    reading.cancel()
    await prompt(hanging.ended)
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_stream_abandoned_half_way_and_cancelled_ends_the_servicer(
    connect_to: Connect,
) -> None:
    ended = asyncio.Event()

    async def stream(_: Any, __: Any) -> AsyncIterator[ChatStreamResponse]:
        try:
            while True:
                yield piece("more" * 10_000)
        finally:
            ended.set()

    stub = await connect_to(ChatStream=stream)
    call = stub.ChatStream(ChatStreamRequest(), timeout=30)
    assert text_of(await call.read()).startswith("more")
    assert not ended.is_set()
    assert call.cancel()
    assert not call.cancel()
    await prompt(ended)
    with pytest.raises(asyncio.CancelledError):
        await read_to_the_end(call)


async def test_a_cancelled_wait_stays_cancelled_when_the_deadline_passes_meanwhile(
    connect_to: Connect,
) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def chat(_: ChatRequest, __: Any) -> ChatResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()
        raise AssertionError

    stub = await connect_to(Chat=chat)

    async def ask() -> None:
        await stub.Chat(ChatRequest(), timeout=0.2)

    task = asyncio.ensure_future(ask())
    await prompt(began)
    task.cancel()
    asyncio.get_running_loop().call_later(0.3, release.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
