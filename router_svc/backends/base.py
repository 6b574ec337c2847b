"""What a backend is to the router.

A new kind is a class like this in a file of its own and a line in `kinds.py`, which
makes it of its `settings.Backend`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable

from lair.router.v1.chat_pb2 import ChatCall, ChatCompletion, ChatEvent
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall, EmbeddingList
from router_svc.backends.flavours import Flavour
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


@runtime_checkable
class Embedder(Protocol):
    """What a backend has beside `Backend` where it can make vectors; requests pass others over.

    Fails as `Backend.chat` does. Where only the model lacks the ability, the error's
    reason is UPSTREAM_REJECTED, which is held against no backend, with `try_next`.
    """

    async def embed(self, call: EmbeddingCall, model: str) -> EmbeddingList:
        """Return one vector for each input, in their order, of the size that was asked for."""
        ...


@runtime_checkable
class Completer(Protocol):
    """What a backend has beside `Backend` where it can complete texts; requests pass others over.

    Both fail, and end, as `Backend.chat` and `Backend.stream` do.
    """

    async def complete(self, call: CompletionCall, model: str) -> ChatCompletion:
        """Complete at once."""
        ...

    def complete_stream(self, call: CompletionCall, model: str) -> AsyncGenerator[list[ChatEvent]]:
        """Complete as it is generated, in the events of a chat."""
        ...


@runtime_checkable
class Counter(Protocol):
    """What a backend has beside `Backend` where its server counts prompts; others estimate."""

    async def count(self, call: ChatCall, model: str) -> int | None:
        """Return the tokens of the prompt; None where the server counts none. Never raises."""
        ...


@runtime_checkable
class Flavoured(Protocol):
    """What a backend has beside `Backend` where it knows which server it speaks with."""

    # By the last look; any other server is `Flavour.OPENAI`.
    flavour: Flavour
