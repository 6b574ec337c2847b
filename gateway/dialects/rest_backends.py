"""Backends, gaming mode and decisions about routes as JSON; null for what is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.dialects.rest_conversations import rfc3339
from lair.router.v1.router_service_pb2 import (
    Backend,
    BackendMode,
    BackendState,
    Model,
    RouteCandidate,
    Unloading,
    UnloadState,
)


def backend_json(backend: Backend) -> dict[str, Any]:
    """Write how a backend is, and how it stands."""
    speed = backend.tokens_per_second if backend.HasField("tokens_per_second") else None
    return {
        "name": backend.name,
        "state": state_word(backend),
        "kind": backend.kind,
        "url": backend.url,
        "local": backend.local,
        "models": list(backend.models),
        "mode": "explicit_only" if _is_left_alone(backend) else "auto",
        "mode_until": rfc3339(backend.mode_expire_time),
        "gaming": backend.gaming,
        "resting": backend.resting or None,
        "device": backend.device or None,
        "slots": backend.slot_count or None,
        "in_flight": backend.in_flight_count,
        "queued": backend.queued_count,
        "tokens_per_second": speed,
        "last_error": backend.last_error or None,
        "last_check": rfc3339(backend.check_time),
    }


def gaming_json(backends: Iterable[Backend]) -> dict[str, Any]:
    """Write which servers gaming mode keeps from automatic choice, and until when.

    Those that are never chosen anyway, and what is built in, are left out.
    """
    switches = [
        {
            "name": backend.name,
            "enabled": backend.gaming,
            "until": rfc3339(backend.mode_expire_time),
        }
        for backend in backends
        if backend.url and (backend.gaming or not _is_left_alone(backend))
    ]
    return {"enabled": any(switch["enabled"] for switch in switches), "backends": switches}


def unloading_json(unloading: Unloading) -> dict[str, Any]:
    """Write what becomes of the models that a backend has in memory."""
    return {
        "backend": unloading.backend,
        "state": UnloadState.Name(unloading.state).removeprefix("UNLOAD_STATE_").lower(),
        "models": list(unloading.models),
        "error": unloading.error or None,
    }


def explanation_json(candidates: Iterable[RouteCandidate]) -> dict[str, Any]:
    """Write a decision: who was considered, best first, and who would be asked."""
    considered = [
        {
            "backend": candidate.backend,
            "model": candidate.model,
            "eligible": candidate.eligible,
            "reasons": list(candidate.reasons),
        }
        for candidate in candidates
    ]
    chosen = next((candidate for candidate in considered if candidate["eligible"]), None)
    return {"candidates": considered, "chosen": chosen}


def catalogue_json(backends: Iterable[Backend], models: Iterable[Model]) -> dict[str, Any]:
    """Write what a request can name: providers, models, and what other names stand for."""
    named = list(models)
    return {
        "providers": [
            {
                "name": backend.name,
                "kind": backend.kind,
                "local": backend.local,
                "state": state_word(backend),
            }
            for backend in backends
        ],
        "models": [
            {"id": model.id, "backend": model.backend or None}
            for model in named
            if not model.alias_targets
        ],
        "aliases": {model.id: list(model.alias_targets) for model in named if model.alias_targets},
    }


def state_word(backend: Backend) -> str:
    """Return how a backend is, in a word."""
    if backend.state == BackendState.BACKEND_STATE_UNSPECIFIED:
        return "unknown"
    return BackendState.Name(backend.state).removeprefix("BACKEND_STATE_").lower()


def _is_left_alone(backend: Backend) -> bool:
    return backend.mode == BackendMode.BACKEND_MODE_EXPLICIT_ONLY
