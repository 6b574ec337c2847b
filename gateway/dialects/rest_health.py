"""How lair is, as the JSON of `/health`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.dialects.rest_backends import Backend
from gateway.dialects.rest_conversations import MemoryIndex
from gateway.dialects.rest_types import Count, Milliseconds


class ServiceHealth(Struct, frozen=True):
    """How one service is: `transport` where it runs in this process, `ms` where it was asked."""

    status: Literal["up", "down", "off"]
    transport: str | UnsetType = UNSET
    ms: Milliseconds | UnsetType = UNSET
    error: str | UnsetType = UNSET


class JournalHealth(Struct, frozen=True):
    """Finished requests that are still to be delivered to a service, and that never will be."""

    pending: Count
    dropped: Count


class Health(Struct, frozen=True):
    """How lair is: `down` where no request can be answered."""

    status: Literal["ok", "degraded", "down"]
    services: dict[str, ServiceHealth]
    backends: dict[str, Backend]
    journals: dict[str, JournalHealth]
    memory: MemoryIndex | None
    degraded: Annotated[list[str], Meta(description="Each thing that is amiss, in a sentence.")]
