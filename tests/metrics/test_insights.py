"""Where requests went, what was saved and what has no price, against a walk over requests."""

from __future__ import annotations

import random
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_svc.model import Attempt, CostSource, RequestRow, Scope, Status, Tokens
from metrics_svc.query import Question
from metrics_svc.reports.routing import RequestedUse, Routing, read_routing
from metrics_svc.reports.savings import (
    Comparison,
    Confidence,
    Remote,
    Saving,
    Savings,
    read_savings,
    savings,
)
from metrics_svc.reports.unpriced import Unpriced, read_unpriced
from metrics_svc.storage.base import MetricsStore
from metrics_svc.storage.sqlite import open_store
from svckit.backend_settings import Backend
from svckit.cost_settings import Costs, Price
from tests.metrics.events import MINUTE_US, NOW_US, row
from tests.metrics.histories import MOMENTS, few, histories, scopes, superseded, tokens_of, within
from tests.metrics.prices import Prices
from tests.metrics.test_busy import walked
from tests.metrics.test_ledger_oracle import fill

ALL = Scope()
HOUR_US = 60 * MINUTE_US


async def routed(store: MetricsStore, scope: Scope = ALL) -> Routing:
    async with store.reading() as ledger:
        return await read_routing(ledger, scope)


async def saved(store: MetricsStore, kwh_usd: float | None, scope: Scope = ALL) -> Savings:
    async with store.reading() as ledger:
        return savings(await read_savings(ledger, scope), kwh_usd)


async def without_price(store: MetricsStore, scope: Scope = ALL) -> tuple[Unpriced, ...]:
    async with store.reading() as ledger:
        return await read_unpriced(ledger, scope)


async def test_where_requests_went_is_told_with_what_failed_before(tmp_path: Path):
    failed = Attempt(
        backend="a", model="big", status=Status.TIMEOUT, http_code=0, duration_us=7, error="slow"
    )
    answered = replace(failed, backend="b", model="m", status=Status.OK, duration_us=3, error="")
    moved = {"model_requested": "auto", "model_used": "m", "backend": "b"}
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append([
            row(1, attempts=(failed, answered), **moved),
            row(2, attempts=(answered,), **moved),
            row(3, status=Status.UPSTREAM_ERROR, attempts=(answered,), **moved),
            row(4, model_requested="gone", status=Status.NO_BACKEND),
        ])  # fmt: skip
        found = await routed(store)
    assert found.routes == (
        RequestedUse(requested="auto", model="m", backend="b", requests=3, ok=2, moved=1),
        RequestedUse(requested="gone", model="", backend="", requests=1, ok=0, moved=0),
    )
    [hop] = found.fallbacks
    assert (hop.backend, hop.model, hop.status) == ("a", "big", Status.TIMEOUT)
    assert (hop.to_backend, hop.to_model, hop.count, hop.duration_us) == ("b", "m", 1, 7)


def local(number: int, tokens: int, **fields: Any) -> RequestRow:
    """Return an hour's answer of a local model."""
    plain = {
        "local": True,
        "backend": "gpu",
        "model_used": "gpt-oss:20b",
        "tokens": Tokens(prompt=0, completion=tokens),
        "upstream_us": HOUR_US,
        "device_watts": 350.0,
    }
    return row(number, NOW_US, **{**plain, **fields})


async def priced(*rows: RequestRow) -> Sequence[RequestRow]:
    return await Prices(costs=Costs(instead="openai/gpt-5-mini")).priced(rows)


async def test_a_model_may_be_dearer_than_it_is_sold_for(tmp_path: Path):
    """An hour of 350 W for 216,000 tokens, at 0.30 for a kilowatt-hour: 0.49 for a million."""
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append(await priced(local(1, 216_000)))
        found = await saved(store, 0.30)
        [model] = found.models
        assert (model.model, model.cost, model.kwh) == ("gpt-oss:20b", 0, pytest.approx(0.35))
        assert model.electricity == pytest.approx(105_000_000)
        assert model.same.reference is not None
        assert 20e6 < model.same.reference < 100e6
        assert model.same.saved == model.same.reference - 105_000_000 < 0
        assert (model.instead.reference, model.instead.saved) == (432_000_000, 327_000_000)
        assert (model.same.known, model.confidence) == (1.0, Confidence.CONFIGURED)
        assert found.total == replace(model, model="")
        assert (found.kwh_usd, [it.watts for it in found.backends]) == (0.30, [350.0])


async def test_without_a_price_for_electricity_it_is_not_taken_off_and_that_is_told(
    tmp_path: Path,
):
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append(await priced(local(1, 1000)))
        total = (await saved(store, None)).total
        assert (total.electricity, total.confidence) == (None, Confidence.UNKNOWN)
        assert total.kwh == pytest.approx(0.35)
        assert total.same.saved == total.same.reference
        await store.append(await priced(local(2, 1000, backend="mac", device_watts=None)))
        total = (await saved(store, 0.30)).total
        # What is known is taken off, and the other half is not.
        assert (total.electricity, total.confidence) == (105_000_000, Confidence.UNKNOWN)


async def test_electricity_is_shared_by_what_was_written(tmp_path: Path):
    """Side by side they take the time of one, and each user's part is their own."""
    rows = await priced(
        local(1, 3000, user="ann"),
        local(2, 1000, user="ben", model_used="my-own-tune"),
        local(3, 0, user="ben", backend="npu", model_used="embed", device_watts=10.0),
    )
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append(rows)
        everyone, ben = await saved(store, 1.0), await saved(store, 1.0, Scope(user="ben"))
    assert [(it.model, it.kwh) for it in everyone.models] == [
        ("gpt-oss:20b", pytest.approx(0.35 * 3 / 4)),
        ("my-own-tune", pytest.approx(0.35 / 4)),
        ("embed", pytest.approx(0.01)),
    ]
    assert ben.total.kwh == pytest.approx(0.35 / 4 + 0.01)
    tune = ben.models[0]
    # Nobody sells it, so there is nothing that it saved; its electricity is told all the same.
    assert (tune.same.known, tune.same.reference, tune.same.saved) == (0.0, None, None)
    assert everyone.total.same.known == pytest.approx(1 / 3)


async def test_remote_models_are_compared_with_their_list(tmp_path: Path):
    """A million tokens each: as billed below the list, by the list, free, and of no list."""
    backends = [
        Backend(name="zen", url="https://zen.test/v1", provider="openai"),
        Backend(name="free", url="https://free.test/v1", provider="openai", billing="free"),
        Backend(name="odd", url="https://odd.test/v1"),
    ]
    asked = {"local": False, "model_used": "gpt-5-mini", "device_watts": None}
    rows = [
        local(1, 10**6, **asked, backend="zen", billed_nano=1_500_000_000),
        local(2, 10**6, **asked, backend="zen"),
        local(3, 10**6, **asked, backend="free"),
        local(4, 10**6, **asked, backend="odd", billed_nano=7),
    ]
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append(await Prices(backends=backends).priced(rows))
        remote = (await saved(store, 0.30)).remote
        assert (remote.records, remote.cost) == (4, 3_500_000_000)
        assert remote.listed == Comparison(0.75, 6_000_000_000, 2_500_000_000)


async def test_what_failed_takes_nothing_from_what_was_free(tmp_path: Path):
    backends = [Backend(name="free", url="https://free.test/v1", provider="openai", billing="free")]
    asked = {"local": False, "model_used": "gpt-5-mini", "backend": "free"}
    failed = replace(local(2, 0, **asked), tokens=Tokens(), status=Status.TIMEOUT)
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append(
            await Prices(backends=backends).priced([local(1, 10**6, **asked), failed])
        )
        remote = (await saved(store, 0.30)).remote
        assert remote.listed == Comparison(0.5, 2_000_000_000, 2_000_000_000)


async def test_nothing_local_saves_nothing(tmp_path: Path):
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append([row(1, backend="far", model_used="m")])
        found = await saved(store, 0.30)
    assert (found.models, found.backends, found.total.same.saved) == ((), (), None)
    assert found.total.confidence is Confidence.UNKNOWN


async def test_what_lair_quotes_itself_saves_nothing(tmp_path: Path):
    async with open_store(tmp_path / "metrics.db") as store:
        own = {"backend": "lair", "model_used": "lair/recall", "device_watts": None}
        await store.append(await priced(local(1, 216_000), local(2, 50, **own)))
        found = await saved(store, 0.30)
        assert [it.model for it in found.models] == ["gpt-oss:20b"]
        assert (found.total.records, found.total.confidence) == (1, Confidence.CONFIGURED)
        assert [it.backend for it in found.backends] == ["gpu"]


async def test_models_without_a_price_come_with_a_table_that_gives_them_one(tmp_path: Path):
    odd = 'tricky*[model]\\ "quoted"'
    used = {"backend": "far", "tokens": Tokens(prompt=10, completion=5)}
    rows = [
        row(1, model_used=odd, **used),
        row(2, model_used=odd, **used),
        row(3, model_used="m", backend="far", tokens=Tokens(prompt=1)),
        row(4, model_used="priced", cost_nano=3, cost_source=CostSource.BILLED, **used),
        row(5, model_used="silent", backend="far"),
    ]
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append(rows)
        found = await without_price(store)
    assert [(it.model, it.records, it.tokens) for it in found] == [(odd, 2, 30), ("m", 1, 1)]
    table = found[0].toml.replace("input = 0.0", "input = 2.0")
    [price] = tomllib.loads(table)["prices"]
    again, other = await Prices(own=[Price(**price)]).priced(
        [rows[0], replace(rows[0], model_used="tricky-model")]
    )
    assert (again.cost_nano, other.cost_nano) == (20_000, None)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), moment=few(sorted(MOMENTS.values())))
async def test_they_equal_a_walk_over_the_requests(data: st.DataObject, seed: int, moment: int):
    chance = random.Random(seed)
    rows = [
        replace(each, model_requested=chance.choice(["auto", "m"]))
        for each in data.draw(histories(moment))
    ]
    scope = data.draw(scopes(moment))
    kwh_usd = data.draw(few([None, 0.3, 1e6]))
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "metrics.db") as store:
            await fill(store, rows, chance)
            found = await routed(store, scope), await saved(store, kwh_usd, scope)
            listed = await without_price(store, scope)
    asked = [each for each in rows if within(each, Question(scope=scope))]
    check_routes(found[0].routes, asked, superseded(rows))
    check_savings(found[1], rows, asked, scope, kwh_usd)
    unknown: Counter[Any] = Counter()
    for each in asked:
        if each.cost_source is CostSource.UNPRICED and each.model_used:
            unknown[each.backend, each.model_used] += tokens_of(each.tokens)
    assert {(it.backend, it.model): it.tokens for it in listed}.items() <= unknown.items()


def check_routes(
    routes: Sequence[RequestedUse], asked: Sequence[RequestRow], repeated: set[Any]
) -> None:
    counts: defaultdict[Any, list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in asked:
        if each.request_id not in repeated:
            total = counts[each.model_requested, each.model_used, each.backend]
            total[0] += 1
            total[1] += each.status is Status.OK
            total[2] += len(each.attempts) > 1
    found = {(it.requested, it.model, it.backend): [it.requests, it.ok, it.moved] for it in routes}
    assert found == counts


def check_savings(
    found: Savings,
    rows: Sequence[RequestRow],
    asked: Sequence[RequestRow],
    scope: Scope,
    kwh_usd: float | None,
) -> None:
    parts: defaultdict[str, list[RequestRow]] = defaultdict(list)
    for each in asked:
        if each.local and each.backend:
            parts[each.model_used].append(each)
    assert {it.model for it in found.models} == parts.keys()
    energy = energy_of(rows, scope)
    for saving in found.models:
        part = parts[saving.model]
        known = [it.ref1_nano for it in part if it.ref1_nano is not None]
        assert saving.records == len(part)
        assert saving.cost == sum(it.cost_nano or 0 for it in part)
        assert saving.same.reference == (sum(known) if known else None)
        assert saving.same.known == (len(known) / len(part) if known else 0)
        expected = [share_of(each, rows, scope, energy) for each in part]
        if None not in expected:
            assert saving.kwh == pytest.approx(sum(it or 0 for it in expected))
        check_sum(saving, kwh_usd)
    assert found.total.records == sum(map(len, parts.values()))
    check_remote(found.remote, [each for each in asked if not each.local and each.backend])


def check_remote(found: Remote, rows: Sequence[RequestRow]) -> None:
    alike: defaultdict[Any, list[RequestRow]] = defaultdict(list)
    for each in rows:
        alike[each.model_used, each.backend, each.cost_source, each.price_version].append(each)
    cost = listed = compared = 0
    for group in alike.values():
        prices = [it.ref1_nano for it in group if it.ref1_nano is not None]
        costs = [it.cost_nano for it in group if it.cost_nano is not None]
        if prices and (len(prices) == len(costs) or not sum(costs)):
            compared, cost, listed = compared + len(prices), cost + sum(costs), listed + sum(prices)
    assert (found.records, found.cost) == (len(rows), cost)
    if compared:
        known = compared / len(rows)
        assert found.listed == Comparison(known, listed, listed - cost)
    else:
        assert found.listed == Comparison(0.0, None, None)


def check_sum(saving: Saving, kwh_usd: float | None) -> None:
    if kwh_usd is None or saving.kwh is None:
        assert saving.electricity is None
        assert saving.confidence is Confidence.UNKNOWN
    else:
        assert saving.electricity == pytest.approx(saving.kwh * kwh_usd * 1e9, abs=1)
    for comparison in (saving.same, saving.instead):
        if comparison.reference is not None:
            own = saving.cost + (saving.electricity or 0)
            assert comparison.saved == comparison.reference - own


def energy_of(rows: Sequence[RequestRow], scope: Scope) -> dict[str, float | None]:
    """Return the kilowatt-hours of each backend that worked."""
    start = 0 if scope.start_us is None else scope.start_us
    end = 2**53 if scope.end_us is None else scope.end_us
    found: dict[str, float | None] = {}
    for busy in walked(rows, start, end):
        before = found.get(busy.backend, 0.0)
        known = before is not None and busy.watts is not None
        found[busy.backend] = (
            (before or 0) + busy.busy_us * (busy.watts or 0) / 3.6e12 if known else None
        )
    return found


def share_of(
    each: RequestRow,
    rows: Sequence[RequestRow],
    scope: Scope,
    energy: dict[str, float | None],
) -> float | None:
    """Return the part of its backend's electricity that one request has."""
    time = Question(scope=Scope(start_us=scope.start_us, end_us=scope.end_us))
    beside = [it for it in rows if it.local and it.backend == each.backend and within(it, time)]
    kwh = energy.get(each.backend)
    written = sum(it.tokens.completion or 0 for it in beside)
    took = sum(it.upstream_us or 0 for it in beside)
    if kwh is None or not (written or took):
        return None
    if written:
        return kwh * (each.tokens.completion or 0) / written
    return kwh * (each.upstream_us or 0) / took
