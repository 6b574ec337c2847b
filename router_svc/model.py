"""The router's own words: what is served, who may answer, how a try failed.

A chat itself stays in the contract's terms (`ChatCall`, `ChatEvent`) all the way
through: docs/adr/0006 says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

AUTO = "auto"


class State(Enum):
    """How a backend is."""

    UNKNOWN = 0
    UP = 1
    DOWN = 2
    LOADING = 3


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as its backend describes it."""

    id: str
    created: int = 0
    context_length: int | None = None
    loaded: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a backend said of itself when it was last asked."""

    state: State = State.UNKNOWN
    models: tuple[ServedModel, ...] = ()
    error: str = ""
    checked_us: int = 0


@dataclass(frozen=True, slots=True)
class BackendView:
    """What choosing needs to know of a backend."""

    name: str
    local: bool
    priority: int
    snapshot: Snapshot
    last_resort: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend and model that may answer, and why it stands where it stands."""

    backend: str
    model: str
    reason: str


class UpstreamError(Exception):
    """A backend could not be reached, refused, or broke off.

    `reason` is the `ErrorReason` for the client; `status` the backend's HTTP
    status, 0 if it gave none; `try_next` whether another backend may do better;
    `unreachable` that nobody answers there at all.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        status: int = 0,
        try_next: bool = True,
        unreachable: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.status = status
        self.try_next = try_next
        self.unreachable = unreachable
        self.retry_after_seconds = retry_after_seconds
