"""A wait for another service ends with its deadline, whatever that service does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.router_service_pb2 import ChatRequest, ChatResponse
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from svckit.deadline import within
from svckit.errors import ServiceError
from tests.fakes.frozen_service import MORE_THAN_A_SOCKET_HOLDS, frozen_service
from tests.svckit.scripted_router import Connect

SECONDS = 0.3


@pytest.mark.parametrize("size", [1, MORE_THAN_A_SOCKET_HOLDS])
async def test_a_frozen_service_is_waited_for_no_longer_than_that(size: int) -> None:
    request = ChatRequest(call=ChatCall(model="x" * size))
    async with frozen_service() as channel:
        call = RouterServiceStub(channel).Chat(request, timeout=SECONDS)
        async with asyncio.timeout(20 * SECONDS):
            with pytest.raises(ServiceError) as raised:
                await within(SECONDS, call, service="router")
        assert call.done()
    assert raised.value.reason == "DEADLINE_EXCEEDED"
    assert "router" in raised.value.message


async def test_a_slow_service_is_waited_for_no_longer_than_that(connect_to: Connect) -> None:
    ended = asyncio.Event()

    async def chat(_: Any, __: Any) -> ChatResponse:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    router = await connect_to(Chat=chat)
    with pytest.raises(ServiceError) as raised:
        await within(SECONDS, router.Chat(ChatRequest(), timeout=SECONDS), service="router")
    assert raised.value.reason == "DEADLINE_EXCEEDED"
    await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.parametrize("seconds", [5.0, None])
async def test_what_the_service_says_is_passed_on(
    connect_to: Connect, seconds: float | None
) -> None:
    async def chat(request: ChatRequest, _: Any) -> ChatResponse:
        if request.call.model == "none":
            raise ServiceError("MODEL_NOT_FOUND", "there is no model 'none'", model="none")
        return ChatResponse(completion={"model": request.call.model})

    router = await connect_to(Chat=chat)

    async def ask(model: str) -> Any:
        call = router.Chat(ChatRequest(call=ChatCall(model=model)), timeout=seconds)
        return await within(seconds, call, service="router")

    assert (await ask("small")).completion.model == "small"
    with pytest.raises(ServiceError) as raised:
        await ask("none")
    assert (raised.value.reason, raised.value.metadata) == ("MODEL_NOT_FOUND", {"model": "none"})


async def test_who_is_cancelled_is_not_late(connect_to: Connect) -> None:
    asked = asyncio.Event()

    async def chat(_: Any, __: Any) -> ChatResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    router = await connect_to(Chat=chat)
    call = router.Chat(ChatRequest(), timeout=60)
    waiting = asyncio.ensure_future(within(60, call, service="router"))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
