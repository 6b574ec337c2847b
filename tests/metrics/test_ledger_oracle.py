"""The ledger against one counted request by request, for random histories and questions."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_svc.model import BUCKET_US, RequestRow
from metrics_svc.query import DIMENSIONS, WHO, Grain, Question
from metrics_svc.storage.base import Kept, MetricsStore
from metrics_svc.storage.measures import MEASURES
from metrics_svc.storage.sqlite import SqliteStore, open_store
from tests.metrics.events import DAY_US
from tests.metrics.histories import (
    HALF_US,
    MOMENTS,
    expected_distincts,
    expected_sums,
    few,
    histories,
    scopes,
)
from tests.metrics.reading import listed

ZONES = {name: ZoneInfo(name) for name in MOMENTS}
ALL_MEASURES = tuple(MEASURES)


@st.composite
def questions(draw: st.DrawFn, moment: int, known: Sequence[str], step: int = 1) -> Question:
    names = st.lists(few([*known]), max_size=2, unique=True).map(tuple)
    values = {"user": ["ann", ""], "model_used": ["m", ""], "status": [1, 3], "key": ["k"]}
    filters = {name: values[name] for name in draw(names) if name in values}
    return Question(
        scope=draw(scopes(moment, step)),
        filters=filters,
        dimensions=draw(names),
        grain=draw(st.none() | few(list(Grain))),
        zone=ZONES[draw(few(sorted(MOMENTS)))],
    )


async def fill(store: MetricsStore, rows: Sequence[RequestRow], chance: random.Random) -> None:
    """Append in any order, some of them again, in batches of any size."""
    sent = [*rows, *(chance.choice(rows) for _ in range(len(rows) // 2))]
    chance.shuffle(sent)
    while sent:
        size = chance.randint(1, 8)
        await store.append(sent[:size])
        sent = sent[size:]


async def check_list(store: SqliteStore, rows: Sequence[RequestRow]) -> None:
    """Every request comes back as it was, its attempts included."""
    kept = sorted(await listed(store), key=lambda each: each.request_id)
    assert kept == sorted(rows, key=lambda each: each.request_id)


async def check(store: SqliteStore, rows: Sequence[RequestRow], question: Question) -> None:
    async with store.reading() as ledger:
        sums = await ledger.sums(question, ALL_MEASURES)
        assert sums == expected_sums(rows, question, ALL_MEASURES)
        if {*question.dimensions, *question.filters} <= {*WHO}:
            assert await ledger.distincts(question) == expected_distincts(rows, question)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), names=st.tuples(*[few(sorted(MOMENTS))] * 3))
async def test_sums_and_distincts_equal_those_counted_one_by_one(
    data: st.DataObject, seed: int, names: tuple[str, str, str]
):
    moment = MOMENTS[names[0]]
    rows = data.draw(histories(moment))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.db"
        async with open_store(path, ZONES[names[1]]) as store:
            await fill(store, rows, random.Random(seed))
            await check_list(store, rows)
            for known in (DIMENSIONS, WHO, WHO):
                await check(store, rows, data.draw(questions(moment, known)))
        # The zone that is configured may change; no figure does.
        async with open_store(path, ZONES[names[2]]) as store:
            await check(store, rows, data.draw(questions(moment, DIMENSIONS)))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), names=st.tuples(*[few(sorted(MOMENTS))] * 2))
async def test_deleting_old_requests_changes_no_sum(
    data: st.DataObject, seed: int, names: tuple[str, str]
):
    moment = MOMENTS[names[0]]
    rows = data.draw(histories(moment))
    late = data.draw(st.integers(0, len(rows)))
    now = moment + data.draw(st.integers(-HALF_US, HALF_US)) + DAY_US
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "metrics.db", ZONES[names[1]]) as store:
            await fill(store, without_retries(rows[late:]), chance)
            await store.prune(Kept(request_days=1, attempt_days=1), now)
            # Those that come too late for their time count all the same, and once.
            await fill(store, without_retries(rows[:late]), chance)
            await store.prune(Kept(request_days=1, attempt_days=1), now)
            if late:
                await fill(store, without_retries(rows[:late]), chance)
            kept = without_retries(rows)
            question = data.draw(questions(moment, WHO, step=BUCKET_US))
            await check(store, kept, question)


def without_retries(rows: Sequence[RequestRow]) -> list[RequestRow]:
    """Return the rows as if none were repeated: what is deleted cannot be told to have been."""
    return [replace(each, retry_of=None) for each in rows]
