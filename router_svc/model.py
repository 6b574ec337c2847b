"""The router's own words: what is served, who may answer, how a try failed.

A chat itself stays in the contract's terms (`ChatCall`, `ChatEvent`) all the way
through: docs/adr/0006 says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall

AUTO = "auto"
# What a client can ask for.
Call = ChatCall | CompletionCall | EmbeddingCall


class State(Enum):
    """How a backend is."""

    UNKNOWN = 0
    UP = 1
    DOWN = 2
    LOADING = 3

    def __init__(self, _: int) -> None:
        self.word = self.name.lower()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do; None where nobody says."""

    chat: bool | None = None
    embeddings: bool | None = None
    tools: bool | None = None
    vision: bool | None = None
    json_schema: bool | None = None
    reasoning: bool | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """What a model's tokens cost, in US dollars a million."""

    prompt: float
    completion: float


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as its backend describes it."""

    id: str
    created: int = 0
    # Tokens of prompt and answer together: what is in force, else the most there can be.
    context_length: int | None = None
    loaded: bool | None = None
    capabilities: Capabilities = Capabilities()
    slots: int | None = None
    prices: Prices | None = None
    # Its backend passes requests for it on to a server outside the house.
    remote: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


def serves(model: ServedModel, kind: str) -> bool:
    """Tell whether a model is for `chat` or for `embeddings`."""
    able: bool | None = getattr(model.capabilities, kind)
    if able is None:  # nobody says: the name is the one mark that every server shows
        return ("embed" in model.id.lower()) == (kind == "embeddings")
    return able


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a backend said of itself when it was last asked."""

    state: State = State.UNKNOWN
    models: tuple[ServedModel, ...] = ()
    error: str = ""
    checked_us: int = 0
    # Requests the server works on and has waiting, whoever sent them; None where it says not.
    running: int | None = None
    waiting: int | None = None


@dataclass(frozen=True, slots=True)
class BackendView:
    """What choosing needs to know of a backend."""

    name: str
    local: bool
    priority: int
    snapshot: Snapshot
    last_resort: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    # What a million tokens cost, in US dollars; 0 in the house.
    price: float = 0.0
    # Its models by every name they can be asked for, aliases included.
    by_name: Mapping[str, ServedModel] = field(init=False, repr=False, compare=False)
    # By kind, `chat` or `embeddings`: which are taken where none is named, best first.
    of_kind: Mapping[str, Sequence[ServedModel]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the models: a request must not look at a thousand of them."""
        by_name = {model.id: model for model in self.snapshot.models}
        by_name |= {f"{self.name}/{model.id}": model for model in self.snapshot.models}
        # An alias stands for a model and never for an alias, so their order means nothing.
        aliased = {name: by_name[to] for name, to in self.aliases.items() if to in by_name}
        models = sorted(self.snapshot.models, key=lambda model: not model.loaded)
        of_kind = {
            kind: tuple(model for model in models if serves(model, kind))
            for kind in ("chat", "embeddings")
        }
        object.__setattr__(self, "by_name", aliased | by_name)
        object.__setattr__(self, "of_kind", of_kind)


@dataclass(frozen=True, slots=True)
class Standing:
    """What changes of a backend from request to request."""

    # Only requests that name it reach it, by configuration or in gaming mode: why.
    explicit_only: str = ""
    # Its breaker is open, or it asked for time: asked last, never left out. Why.
    resting: str = ""
    # How long a request would wait for its device.
    expected_wait_seconds: float = 0.0


class Candidate(NamedTuple):
    """A backend and model that may answer, and why it stands where it stands.

    `reason` is the short form for a header, `reasons` the whole one, most important
    first. `window` is the model's there, in tokens, where that is known.
    """

    backend: str
    model: str
    reason: str
    reasons: tuple[str, ...] = ()
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A backend and model that may not answer, and what stands against it."""

    backend: str
    model: str
    reasons: tuple[str, ...]


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

    @property
    def public_message(self) -> str:
        """What logs and records may hold: a refusal often quotes the prompt it refuses."""
        if self.reason in ("UPSTREAM_REJECTED", "CONTEXT_LENGTH_EXCEEDED"):
            return f"{self.reason}, HTTP {self.status}" if self.status else self.reason
        return self.message
