"""How a running lair is, as its `/health` tells it, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_NAMED_MODELS = 4


@dataclass(frozen=True, slots=True)
class Backend:
    """A server that answers for models; a built-in one has no URL."""

    name: str
    url: str
    state: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """How lair is. `services` maps names to `up`, `off` or what is wrong."""

    ok: bool
    services: Mapping[str, str]
    backends: tuple[Backend, ...]
    memory: str
    faults: tuple[str, ...]


def read(body: Any) -> Report | None:
    """Read the JSON of `/health`; None if it is not lair's."""
    if not isinstance(body, Mapping) or not isinstance(body.get("services"), Mapping):
        return None
    services = {name: _service(value) for name, value in body["services"].items()}
    return Report(
        ok=body.get("status") == "ok",
        services=services,
        backends=tuple(_backends(body.get("backends") or {})),
        memory=_memory(services.get("memory", "unknown"), body.get("memory")),
        faults=tuple(body.get("degraded") or ()),
    )


def backend_lines(backends: tuple[Backend, ...]) -> Iterator[str]:
    """Word each backend; tell what to do where no server was found."""
    if not any(backend.url for backend in backends):
        yield "none found; start Ollama or llama.cpp, or name one: [[backends]] in lair.toml"
    names = max((len(backend.name) for backend in backends), default=0)
    urls = max((len(_place(backend)) for backend in backends), default=0)
    for backend in backends:
        state = "" if backend.state == "up" else f"{backend.state}, "
        models = _models(backend.models)
        yield f"{backend.name:<{names}}  {_place(backend):<{urls}}  {state}{models}"


def _backends(body: Mapping[str, Any]) -> Iterator[Backend]:
    for name, item in body.items():
        models = tuple(item.get("models") or ())
        yield Backend(name, item.get("url") or "", item.get("state") or "unknown", models)


def _place(backend: Backend) -> str:
    return backend.url or "built in"


def _models(models: tuple[str, ...]) -> str:
    named = ", ".join(models[:_NAMED_MODELS])
    more = len(models) - _NAMED_MODELS
    return f"{named} and {more} more" if more > 0 else named or "no models"


def _service(value: Mapping[str, Any]) -> str:
    status, error = value.get("status", "unknown"), value.get("error")
    return f"{status}: {error}" if error else str(status)


def _memory(service: str, index: Mapping[str, Any] | None) -> str:
    """Say whether conversations are kept, and how the search by meaning is."""
    if service != "up" or index is None:
        return "on" if service == "up" else service
    error = f": {index['error']}" if index.get("error") else ""
    return f"on; search by meaning: {index.get('state', 'unknown')}{error}"
