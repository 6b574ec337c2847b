"""Short ways to ask a store, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from metrics_svc.model import Page, Position, RequestRow, Scope
from metrics_svc.query import Distinct, Question, SumRow
from metrics_svc.reports.latency import MEASURED, Latency, latency
from metrics_svc.reports.use import Use, read_use
from metrics_svc.storage.base import MetricsStore

ALL = Scope()
UTC = ZoneInfo("UTC")


async def used(store: MetricsStore, scope: Scope = ALL, zone: ZoneInfo = UTC) -> Use:
    async with store.reading() as ledger:
        return await read_use(ledger, scope, zone)


async def summed(store: MetricsStore, question: Question, *measures: str) -> tuple[SumRow, ...]:
    async with store.reading() as ledger:
        return await ledger.sums(question, measures)


async def different(store: MetricsStore, scope: Scope = ALL) -> Distinct:
    return (await used(store, scope)).distinct


async def measured(store: MetricsStore, scope: Scope = ALL) -> Latency:
    async with store.reading() as ledger:
        return latency(await ledger.spreads(Question(scope=scope, dimensions=MEASURED)))


async def page_of(
    store: MetricsStore, scope: Scope = ALL, limit: int = 1000, after: Position | None = None
) -> Page:
    async with store.reading() as ledger:
        return await ledger.requests(scope, limit, after)


async def listed(store: MetricsStore, scope: Scope = ALL) -> Sequence[RequestRow]:
    return list((await page_of(store, scope)).rows)
