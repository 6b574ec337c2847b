"""What a backend is to the router.

A new kind is a class like this in a file of its own and a line in `kinds.py`, which
makes it of its `settings.Backend`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from lair.router.v1.chat_pb2 import ChatCall, ChatCompletion, ChatEvent
from router_svc.model import Snapshot
from svckit import settings


class Backend(Protocol):
    """A server that answers for models.

    `chat` and `stream` raise `UpstreamError`, the only failure that moves on to the
    next backend; limits on time are theirs to keep. Both end their work at the server
    when they are cancelled or closed. Tokens count as unknown unless the answer's
    `usage` tells them.
    """

    name: str
    kind: str
    url: str
    local: bool
    # As it is configured; what was found or is built in has a configuration too.
    config: settings.Backend
    # Answers only where no other backend exists, and never counts as memory.
    last_resort: bool

    async def probe(self) -> Snapshot:
        """Ask the server how it is and what it serves; never raises, never infers."""
        ...

    async def chat(self, call: ChatCall, model: str) -> ChatCompletion:
        """Answer at once."""
        ...

    def stream(self, call: ChatCall, model: str) -> AsyncGenerator[list[ChatEvent]]:
        """Answer as it is generated: lists of the events that were ready together.

        Begins with `started` (without route and memory) and ends with `completed`;
        an answer that breaks off raises `UpstreamError`.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
