"""How long backends worked, against a walk over steps of time."""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_svc.model import BUCKET_US, RequestRow, Scope
from metrics_svc.query import BusyRow
from metrics_svc.storage.base import Kept
from metrics_svc.storage.busy import STEP_US
from metrics_svc.storage.sqlite import SqliteStore, open_store
from tests.metrics.events import DAY_US, MINUTE_US, NOW_US, row

SECOND_US = 1_000_000
START_US = NOW_US // BUCKET_US * BUCKET_US


async def busy(store: SqliteStore, start_us: int | None = None, end_us: int | None = None):
    async with store.reading() as ledger:
        return await ledger.busy(Scope(start_us=start_us, end_us=end_us))


def work(number: int, start_us: int, took_us: int, **fields: object) -> RequestRow:
    work = {"local": True, "backend": "gpu", "upstream_us": took_us, "device_watts": 300.0}
    return row(number, start_us, **{**work, **fields})


def walked(rows: Sequence[RequestRow], start_us: int, end_us: int) -> tuple[BusyRow, ...]:
    """Count the steps of time in which a backend had any request."""
    steps: defaultdict[tuple[str, float | None], set[int]] = defaultdict(set)
    for each in rows:
        if each.local and each.backend and each.upstream_us:
            begin = each.ts_us + (each.queue_us or 0)
            worked = range(nearest(begin), nearest(begin + each.upstream_us))
            steps[each.backend, each.device_watts].update(worked)
    first, after = nearest(start_us), nearest(end_us)
    found = {
        place: sum(first <= step < after for step in worked) * STEP_US
        for place, worked in steps.items()
    }
    return tuple(
        BusyRow(backend=backend, watts=watts, busy_us=found[backend, watts])
        for backend, watts in sorted(found, key=lambda it: (it[0], it[1] or 0))
        if found[backend, watts]
    )


def nearest(us: int) -> int:
    return (us + STEP_US // 2) // STEP_US


async def test_requests_side_by_side_count_once(tmp_path: Path):
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append([
            work(1, START_US, 60 * SECOND_US),
            work(2, START_US + 30 * SECOND_US, 60 * SECOND_US),
            work(3, START_US + 40 * SECOND_US, SECOND_US),
            work(4, START_US, 60 * SECOND_US, backend="cpu", device_watts=None),
            work(5, START_US, 60 * SECOND_US, backend="far", local=False),
        ])  # fmt: skip
        await store.append([work(6, START_US + 45 * SECOND_US, 60 * SECOND_US)])
        await store.append([work(6, START_US + 45 * SECOND_US, 60 * SECOND_US)])
        assert await busy(store) == (
            BusyRow(backend="cpu", watts=None, busy_us=60 * SECOND_US),
            BusyRow(backend="gpu", watts=300.0, busy_us=105 * SECOND_US),
        )


async def test_it_works_after_it_waited_and_on_into_the_next_quarters(tmp_path: Path):
    late = START_US - 10 * SECOND_US
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append([work(1, late, 40 * MINUTE_US, queue_us=4 * SECOND_US)])
        [before] = await busy(store, end_us=START_US)
        [after] = await busy(store, START_US)
        [within] = await busy(store, START_US + MINUTE_US, START_US + 31 * MINUTE_US)
    assert before.busy_us == 6 * SECOND_US
    assert after.busy_us == 40 * MINUTE_US - 6 * SECOND_US
    assert within.busy_us == 30 * MINUTE_US


async def test_it_stays_when_requests_are_deleted(tmp_path: Path):
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append([work(1, START_US - 9 * DAY_US, MINUTE_US)])
        before = await busy(store)
        await store.prune(Kept(request_days=1, attempt_days=1), NOW_US)
        assert await busy(store) == before != ()


few = st.sampled_from
near = st.integers(-BUCKET_US, BUCKET_US)


@st.composite
def flights(draw: st.DrawFn) -> list[RequestRow]:
    return [
        work(
            number,
            START_US + draw(near),
            draw(st.none() | st.integers(0, 5 * SECOND_US) | st.integers(0, 2 * BUCKET_US)),
            queue_us=draw(st.none() | st.integers(0, SECOND_US)),
            backend=draw(few(["", "gpu", "cpu"])),
            local=draw(few([True, True, False])),
            device_watts=draw(few([None, 300.0, 0.5])),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


@settings(max_examples=40, deadline=None)
@given(rows=flights(), seed=st.integers(0, 2**32), ends=st.tuples(near, near))
async def test_it_equals_a_walk_over_time(rows: list[RequestRow], seed: int, ends: tuple[int, int]):
    start, end = sorted(START_US + it for it in ends)
    sent = [*rows, *rows[:3]]
    random.Random(seed).shuffle(sent)
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "metrics.db") as store:
            for first in range(0, len(sent), 4):
                await store.append(sent[first : first + 4])
            assert await busy(store, start, end) == walked(rows, start, end)
