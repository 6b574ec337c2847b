"""Backends, gaming mode and decisions about routes as JSON; null for what is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.dialects.rest_types import Count, Time, rfc3339, word, words
from lair.router.v1 import router_service_pb2 as router_pb2
from lair.router.v1.router_service_pb2 import BackendMode, BackendState, UnloadState

_STATE = "BACKEND_STATE_"
_UNLOADING = "UNLOAD_STATE_"
_UNKNOWN = "unknown"

State = Annotated[
    str,
    Meta(
        description="How it is, in a word.",
        extra_json_schema={"enum": [_UNKNOWN, *words(BackendState, _STATE)["enum"][1:]]},
    ),
]


class Backend(Struct, frozen=True):
    """How a backend is, and how it stands."""

    name: str
    state: State
    kind: str
    url: str
    local: Annotated[bool, Meta(description="Whether it is in the house.")]
    models: list[str]
    mode: Annotated[
        Literal["explicit_only", "auto"], Meta(description="Whether `auto` may choose it.")
    ]
    mode_until: Time | None
    gaming: bool
    resting: Annotated[str, Meta(description="Why it is not asked just now.")] | None
    device: str | None
    slots: Count | None
    in_flight: Count
    queued: Count
    tokens_per_second: float | None
    last_error: str | None
    last_check: Time | None


class Providers(Struct, frozen=True):
    """Every backend."""

    providers: list[Backend]


class Switch(Struct, frozen=True):
    """Whether `auto` leaves a backend alone, and until when."""

    name: str
    enabled: bool
    until: Time | None


class Unloading(Struct, frozen=True):
    """What becomes of the models that a backend has in memory."""

    backend: str
    state: Annotated[str, Meta(extra_json_schema=words(UnloadState, _UNLOADING))]
    models: list[str]
    error: str | None


class GamingMode(Struct, frozen=True):
    """Which backends `auto` leaves alone; `unloadings` where models were to leave the memory."""

    enabled: bool
    backends: list[Switch]
    unloadings: list[Unloading] | UnsetType = UNSET


class Candidate(Struct, frozen=True):
    """A backend that was considered, and why it may or may not be asked."""

    backend: str
    model: str
    eligible: bool
    reasons: list[str]


class Explanation(Struct, frozen=True):
    """A decision: who was considered, best first, and who would be asked."""

    candidates: list[Candidate]
    chosen: Candidate | None


class Provider(Struct, frozen=True):
    """A backend, in short."""

    name: str
    kind: str
    local: bool
    state: State


class RoutableModel(Struct, frozen=True):
    """A model that can be asked for, and where it is."""

    id: str
    backend: str | None


class RoutingConfig(Struct, frozen=True):
    """What a request can name, and the headers that lair understands and sends."""

    providers: list[Provider]
    models: list[RoutableModel]
    aliases: dict[str, list[str]]
    request_headers: dict[str, str]
    response_headers: dict[str, str]


def backend_json(backend: router_pb2.Backend) -> Backend:
    """Write how a backend is, and how it stands."""
    return Backend(
        name=backend.name,
        state=state_word(backend),
        kind=backend.kind,
        url=backend.url,
        local=backend.local,
        models=list(backend.models),
        mode="explicit_only" if _is_left_alone(backend) else "auto",
        mode_until=rfc3339(backend.mode_expire_time),
        gaming=backend.gaming,
        resting=backend.resting or None,
        device=backend.device or None,
        slots=backend.slot_count or None,
        in_flight=backend.in_flight_count,
        queued=backend.queued_count,
        tokens_per_second=(
            backend.tokens_per_second if backend.HasField("tokens_per_second") else None
        ),
        last_error=backend.last_error or None,
        last_check=rfc3339(backend.check_time),
    )


def gaming_json(
    backends: Iterable[router_pb2.Backend], unloadings: Iterable[router_pb2.Unloading] = ()
) -> GamingMode:
    """Write which servers gaming mode keeps from automatic choice, and until when.

    Those that are never chosen anyway, and what is built in, are left out.
    """
    switches = [
        Switch(backend.name, backend.gaming, rfc3339(backend.mode_expire_time))
        for backend in backends
        if backend.url and (backend.gaming or not _is_left_alone(backend))
    ]
    return GamingMode(
        enabled=any(switch.enabled for switch in switches),
        backends=switches,
        unloadings=[_unloading_json(unloading) for unloading in unloadings] or UNSET,
    )


def explanation_json(candidates: Iterable[router_pb2.RouteCandidate]) -> Explanation:
    """Write a decision: who was considered, best first, and who would be asked."""
    considered = [
        Candidate(candidate.backend, candidate.model, candidate.eligible, list(candidate.reasons))
        for candidate in candidates
    ]
    chosen = next((candidate for candidate in considered if candidate.eligible), None)
    return Explanation(considered, chosen)


def routing_json(
    backends: Iterable[router_pb2.Backend],
    models: Iterable[router_pb2.Model],
    *,
    request_headers: dict[str, str],
    response_headers: dict[str, str],
) -> RoutingConfig:
    """Write what a request can name: providers, models, what other names stand for, headers."""
    named = list(models)
    return RoutingConfig(
        providers=[
            Provider(backend.name, backend.kind, backend.local, state_word(backend))
            for backend in backends
        ],
        models=[
            RoutableModel(model.id, model.backend or None)
            for model in named
            if not model.alias_targets
        ],
        aliases={model.id: list(model.alias_targets) for model in named if model.alias_targets},
        request_headers=request_headers,
        response_headers=response_headers,
    )


def state_word(backend: router_pb2.Backend) -> str:
    """Return how a backend is, in a word."""
    if backend.state == BackendState.BACKEND_STATE_UNSPECIFIED:
        return _UNKNOWN
    return word(BackendState.Name(backend.state), _STATE)


def _unloading_json(unloading: router_pb2.Unloading) -> Unloading:
    return Unloading(
        backend=unloading.backend,
        state=word(UnloadState.Name(unloading.state), _UNLOADING),
        models=list(unloading.models),
        error=unloading.error or None,
    )


def _is_left_alone(backend: router_pb2.Backend) -> bool:
    return backend.mode == BackendMode.BACKEND_MODE_EXPLICIT_ONLY
