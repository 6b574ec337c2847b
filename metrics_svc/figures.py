"""Figures for who monitors that only the ledger knows: what all requests cost so far."""

from __future__ import annotations

from metrics_svc.query import Question
from metrics_svc.storage.base import MetricsStore
from svckit.telemetry import COST_USD, UNPRICED

_NANO = 1e9
_NONE = "none"  # that no backend was reached
_BY_BACKEND = Question(dimensions=("backend",))


async def refresh(store: MetricsStore) -> None:
    """Set the counters of costs to what the ledger says. Raises `ServiceError` where it is late."""
    async with store.reading() as ledger:
        rows = await ledger.sums(_BY_BACKEND, ("records", "priced", "cost_nano"))
    costs: dict[str, float] = {}
    unpriced: dict[str, float] = {}
    for row in rows:
        (backend,), (records, priced, nano) = row.keys, row.sums
        name = str(backend) or _NONE
        if priced:
            costs[name] = nano / _NANO
        unpriced[name] = records - priced
    COST_USD.set(costs)
    UNPRICED.set(unpriced)
