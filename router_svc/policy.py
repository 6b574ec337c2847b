"""Which backends may answer a request, in which order, and why. Pure.

Precedence: `X-Provider` and `X-Model`, an exact model (`model` or
`backend/model`), `auto`. The order among those that may: up before down, then
priority, then the order of the configuration.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from router_svc.model import AUTO, BackendView, Candidate, ServedModel, State
from svckit.errors import ServiceError

_RANK = {State.UP: 0, State.UNKNOWN: 1, State.LOADING: 2, State.DOWN: 3}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request says about where it may go."""

    model: str
    backend: str = ""
    local_only: bool = False


def choose(wish: Wish, views: Sequence[BackendView]) -> list[Candidate]:
    """Return the candidates, best first. Raises `ServiceError` where there is none."""
    allowed = [view for view in views if _allowed(view, wish)]
    if not allowed:
        raise _nobody(wish, views)
    model = wish.model or AUTO
    narrowed = len(allowed) < len(views)
    candidates = _auto(allowed, narrowed=narrowed) if model == AUTO else _named(model, allowed)
    if candidates:
        return candidates
    if model == AUTO:
        raise ServiceError(
            "NO_BACKEND", "no backend serves a chat model just now; `lair status` shows each"
        )
    raise _unknown(model, allowed, [view for view in views if view not in allowed])


def _allowed(view: BackendView, wish: Wish) -> bool:
    return (not wish.backend or view.name == wish.backend) and (view.local or not wish.local_only)


def _ordered(views: Sequence[BackendView]) -> list[BackendView]:
    return sorted(views, key=lambda view: (_RANK[view.snapshot.state], -view.priority))


def _auto(views: Sequence[BackendView], *, narrowed: bool) -> list[Candidate]:
    servers = [view for view in views if not view.last_resort]
    chosen = [
        Candidate(
            view.name, model.id, f"auto: {view.snapshot.state.name.lower()}, first chat model"
        )
        for view in _ordered(servers)
        if (model := next(filter(_chats, view.snapshot.models), None))
    ]
    if chosen or servers:
        return chosen
    reason = "auto: nothing else is allowed" if narrowed else "auto: no LLM server was found"
    return [
        Candidate(view.name, model.id, reason)
        for view in views
        for model in view.snapshot.models[:1]
    ]


def _chats(model: ServedModel) -> bool:
    """Tell embedding models apart by the one mark that every server shows: the name."""
    return "embed" not in model.id.lower()


def _named(name: str, views: Sequence[BackendView]) -> list[Candidate]:
    return [
        Candidate(view.name, model.id, f"model {name}")
        for view in _ordered(views)
        for model in view.snapshot.models
        if name in (model.id, f"{view.name}/{model.id}")
    ]


def _nobody(wish: Wish, views: Sequence[BackendView]) -> ServiceError:
    names = ", ".join(view.name for view in views)
    if wish.backend and all(view.name != wish.backend for view in views):
        message = f"X-Provider names the backend {wish.backend!r}; there are: {names}"
        return ServiceError("INVALID_FIELD", message, field="X-Provider")
    return ServiceError("NO_BACKEND", f"no backend may take this request; there are: {names}")


def _unknown(
    model: str, views: Sequence[BackendView], excluded: Sequence[BackendView]
) -> ServiceError:
    if elsewhere := _named(model, excluded):
        names = ", ".join(candidate.backend for candidate in elsewhere)
        message = f"{model!r} is served by {names}, which X-Local-Only or X-Provider excludes"
        return ServiceError("MODEL_NOT_FOUND", message, model=model)
    served = [served.id for view in views for served in view.snapshot.models]
    near = difflib.get_close_matches(model, [AUTO, *served], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "GET /v1/models lists what there is"
    blind = [v.name for v in views if not v.snapshot.models]
    if blind:
        hint += f" (not asked yet or down: {', '.join(blind)})"
    return ServiceError(
        "MODEL_NOT_FOUND", f"no backend serves the model {model!r}; {hint}", model=model
    )
