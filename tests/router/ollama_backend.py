"""A backend over a scripted Ollama, and a chat with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall, ChatEvent
from router_svc.backends.ollama import OllamaBackend
from svckit import settings
from tests.fakes.openai_server import OpenAIServer

QWEN = "qwen3:8b"


@asynccontextmanager
async def backend(server: OpenAIServer, **config: Any) -> AsyncIterator[OllamaBackend]:
    """Give the backend of a server that runs, which has looked at it."""
    made = OllamaBackend(settings.Backend(name="o", kind="ollama", url=server.url, **config))
    await made.probe()
    yield made
    await made.close()


async def said(made: OllamaBackend, **fields: Any) -> list[ChatEvent]:
    fields.setdefault("messages", [Message(role="user", text="hi")])
    stream = made.stream(ChatCall(**fields), QWEN)
    return [event async for events in stream for event in events]
