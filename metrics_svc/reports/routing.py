"""Where requests went: which model was asked for and which was used, and what failed before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from metrics_svc.model import Scope, Status
from metrics_svc.query import HopRow, Question, SumRow
from metrics_svc.storage.base import Ledger

_DIMENSIONS = ("model_requested", "model_used", "backend", "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedUse:
    """Requests for one model that the same model of the same backend was asked for."""

    requested: str
    model: str
    backend: str
    requests: int
    ok: int
    moved: int


@dataclass(frozen=True, slots=True)
class Routing:
    """Where requests went, and tries that failed before; the most first."""

    routes: tuple[RequestedUse, ...]
    fallbacks: tuple[HopRow, ...]


async def read_routing(ledger: Ledger, scope: Scope) -> Routing:
    """Tell where the requests of `scope` went."""
    question = Question(scope=scope, dimensions=_DIMENSIONS)
    rows = await ledger.sums(question, ("requests", "moved"))
    return Routing(routes(rows), await ledger.hops(scope))


def routes(rows: Iterable[SumRow]) -> tuple[RequestedUse, ...]:
    """Add up the sums of each requested and used model and backend."""
    counts: defaultdict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        *place, status = row.keys
        requests, moved = row.sums
        total = counts[tuple(place)]
        total[0] += requests
        total[1] += requests if status == Status.OK else 0
        total[2] += moved
    found = (
        RequestedUse(
            requested=requested, model=model, backend=backend, requests=total, ok=ok, moved=moved
        )
        for (requested, model, backend), (total, ok, moved) in counts.items()
        if total
    )
    return tuple(
        sorted(found, key=lambda use: (-use.requests, use.requested, use.model, use.backend))
    )
