"""The router as a whole, with scripted services and backends around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall, ChatEvent, MemoryHints, Route, RouteHints
from lair.router.v1.router_service_pb2 import ChatRequest, ChatResponse, ChatStreamRequest
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from router_svc.main import open_service
from svckit.errors import ServiceError, from_rpc_error
from svckit.inprocess import InProcessChannel
from svckit.settings import Settings
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.services import ScriptedMemory, ScriptedMetrics

DEADLINE_SECONDS = 20.0
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


class World:
    """Memory, metrics and a data directory; `router(…)` opens a router among them."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.memory = ScriptedMemory()
        self.metrics = ScriptedMetrics()

    @asynccontextmanager
    async def router(
        self,
        *servers: OpenAIServer,
        backend: dict[str, Any] | None = None,
        reread: Callable[[], Settings] | None = None,
        **sections: Any,
    ) -> AsyncIterator[RouterServiceStub]:
        """Open a router over `servers`, called `a`, `b` and so on.

        `backend` holds settings of each of them, `sections` tables of lair.toml, and
        `reread` returns the settings of a reload.
        """
        backends = [
            {"name": name, "url": server.url, **(backend or {})}
            for name, server in zip("abcdef", servers, strict=False)
        ]
        router = {"discover": False, "probe_seconds": 3600, "memory_timeout_ms": 10_000}
        settings = Settings.model_validate(
            {
                "data_dir": self.data_dir,
                "backends": backends,
                **sections,
                "router": {**router, **sections.get("router", {})},
            }
        )
        memory = InProcessChannel(self.memory.servicers())
        metrics = InProcessChannel(self.metrics.servicers())
        self.settings = settings
        again = reread or (lambda: settings)
        async with open_service(
            settings, memory=memory, metrics=metrics, reread=again
        ) as servicers:
            yield RouterServiceStub(InProcessChannel(servicers))

    def journal(self, name: str) -> bytes:
        """Return the bytes of a journal of the router, `turns` or `records`."""
        folder = self.data_dir / "router" / name
        return b"".join(path.read_bytes() for path in sorted(folder.glob("*.log")))


def user(text: str) -> Message:
    """Return what a user says."""
    return Message(role="user", text=text)


def assistant(text: str) -> Message:
    """Return what was answered."""
    return Message(role="assistant", text=text)


def asking(
    *texts: str,
    messages: list[Message] | None = None,
    conversation: str = "",
    policy: int = 0,
    backend: str = "",
    **fields: Any,
) -> ChatCall:
    """Return the chat of a user who says `texts`."""
    return ChatCall(
        messages=[user(text) for text in texts] if messages is None else messages,
        caller=Caller(user_id="ann"),
        memory=MemoryHints(conversation_id=conversation, policy=policy),  # type: ignore[arg-type]  # an enum's number
        route=RouteHints(backend=backend),
        **fields,
    )


async def answer(router: RouterServiceStub, call: ChatCall) -> ChatResponse:
    """Ask for an answer at once."""
    return await router.Chat(ChatRequest(call=call), timeout=DEADLINE_SECONDS)


async def relayed(router: RouterServiceStub, call: ChatCall) -> AsyncIterator[ChatEvent]:
    """Ask for a stream; yield its events."""
    stream = router.ChatStream(ChatStreamRequest(call=call), timeout=DEADLINE_SECONDS)
    async for response in stream:
        for event in response.events:
            yield event


async def events(router: RouterServiceStub, call: ChatCall) -> list[ChatEvent]:
    """Ask for a stream; return all its events."""
    return [event async for event in relayed(router, call)]


async def say(router: RouterServiceStub, call: ChatCall, *, streamed: bool) -> str:
    """Ask either way; return the text of the answer."""
    if streamed:
        return text_of(await events(router, call))
    return (await answer(router, call)).completion.choices[0].message.text


async def route_of(router: RouterServiceStub, call: ChatCall, *, streamed: bool) -> Route:
    """Ask either way; return what is told of the route."""
    if streamed:
        return (await events(router, call))[0].started.route
    return (await answer(router, call)).route


def text_of(said: list[ChatEvent]) -> str:
    """Put the text of an answer together."""
    return "".join(event.delta.text for event in said)


def kinds(said: list[ChatEvent]) -> list[str | None]:
    """Name the kind of each event."""
    return [event.WhichOneof("event") for event in said]


async def failure(call: Awaitable[Any]) -> ServiceError:
    """Return the error that `call` must end with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value, "router")
