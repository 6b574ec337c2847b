"""A RouterService whose methods a test writes, and ways to read and end its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import grpc

from lair.router.v1 import chat_pb2, router_service_pb2, router_service_pb2_grpc
from lair.router.v1.router_service_pb2 import (
    ChatRequest,
    ChatResponse,
    ChatStreamRequest,
    ChatStreamResponse,
)
from svckit.grpc_server import Servicers

PROMPT_SECONDS = 1.0
Connect = Callable[..., Awaitable[Any]]


def scripted(methods: dict[str, Any]) -> Servicers:
    """Make a RouterService of `methods`; the others are not implemented."""
    members = {name: staticmethod(method) for name, method in methods.items()}
    servicer = type("Scripted", (router_service_pb2_grpc.RouterServiceServicer,), members)()
    return Servicers(
        "router",
        (router_service_pb2.DESCRIPTOR.services_by_name["RouterService"],),
        (partial(router_service_pb2_grpc.add_RouterServiceServicer_to_server, servicer),),
    )


def piece(text: str) -> ChatStreamResponse:
    delta = chat_pb2.Delta(text=text)
    return ChatStreamResponse(events=[chat_pb2.ChatEvent(delta=delta)])


def text_of(response: ChatStreamResponse) -> str:
    return response.events[0].delta.text


def asking(model: str) -> ChatRequest:
    return ChatRequest(call=chat_pb2.ChatCall(model=model))


class Hanging:
    """Methods that wait until they are ended, and tell when they began and how they ended."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self.cause: type[BaseException] | None = None

    async def chat(self, _: ChatRequest, __: Any) -> ChatResponse:
        await self._hang()
        return ChatResponse()

    async def stream(self, _: ChatStreamRequest, __: Any) -> AsyncIterator[ChatStreamResponse]:
        yield piece("first")
        await self._hang()

    async def _hang(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            self.cause = type(error)
            raise
        finally:
            self.ended.set()


async def prompt(event: asyncio.Event) -> None:
    async with asyncio.timeout(PROMPT_SECONDS):
        await event.wait()


async def drained(call: Any) -> list[str]:
    return [text_of(item) async for item in call]


async def read_to_the_end(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def finish(call: Any) -> str:
    """Tell how awaiting `call` ends, in a task that is itself not cancelled."""
    try:
        await call
    except asyncio.CancelledError as error:
        return type(error).__name__
    return "answered"
