"""How a running lair is, as its `/health` tells it, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NONE_FOUND = "none found; start Ollama or llama.cpp, or name one: [[backends]] in lair.toml"
_NAMED_MODELS = 4


@dataclass(frozen=True, slots=True)
class Backend:
    """A server that answers for models; a built-in one has no URL.

    `alone` says whether only requests that name it reach it, `gaming` that it is gaming
    mode which keeps others away, `slots` how many it takes at a time, 0 for no limit.
    """

    name: str
    url: str
    state: str
    models: tuple[str, ...]
    alone: bool = False
    alone_until: str = ""
    gaming: bool = False
    resting: str = ""
    device: str = ""
    slots: int = 0
    in_flight: int = 0
    queued: int = 0
    tokens_per_second: float | None = None
    last_error: str = ""


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
        yield NONE_FOUND
    names = max((len(backend.name) for backend in backends), default=0)
    urls = max((len(_place(backend)) for backend in backends), default=0)
    for backend in backends:
        state = "" if backend.state == "up" else f"{backend.state}, "
        state += "left alone for gaming, " if backend.gaming else ""
        yield f"{backend.name:<{names}}  {_place(backend):<{urls}}  {state}{models_of(backend)}"


def models_of(backend: Backend, *, named: int = _NAMED_MODELS) -> str:
    """Name the first models of a backend, and how many more there are."""
    names = ", ".join(backend.models[:named])
    more = len(backend.models) - named
    return f"{names} and {more} more" if more > 0 else names or "no models"


def _backends(body: Mapping[str, Any]) -> Iterator[Backend]:
    for name, item in body.items():
        yield Backend(
            name=name,
            url=item.get("url") or "",
            state=item.get("state") or "unknown",
            models=tuple(item.get("models") or ()),
            alone=item.get("mode") == "explicit_only",
            alone_until=item.get("mode_until") or "",
            gaming=bool(item.get("gaming")),
            resting=item.get("resting") or "",
            device=item.get("device") or "",
            slots=item.get("slots") or 0,
            in_flight=item.get("in_flight") or 0,
            queued=item.get("queued") or 0,
            tokens_per_second=item.get("tokens_per_second"),
            last_error=item.get("last_error") or "",
        )


def _place(backend: Backend) -> str:
    return backend.url or "built in"


def _service(value: Mapping[str, Any]) -> str:
    status, error = value.get("status", "unknown"), value.get("error")
    return f"{status}: {error}" if error else str(status)


def _memory(service: str, index: Mapping[str, Any] | None) -> str:
    """Say whether conversations are kept, and how the search by meaning is."""
    if service != "up" or index is None:
        return "on" if service == "up" else service
    error = f": {index['error']}" if index.get("error") else ""
    return f"on; search by meaning: {index.get('state', 'unknown')}{error}"
