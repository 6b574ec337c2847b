"""The contract of `MetricsStore`, for every implementation."""

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from metrics_svc.model import (
    BUCKET_US,
    Attempt,
    Origin,
    Position,
    RequestRow,
    Scope,
    Status,
    Tokens,
    UsageSource,
)
from metrics_svc.query import Distinct, Grain, Question
from metrics_svc.storage.base import MetricsStore
from metrics_svc.storage.sqlite import open_store
from tests.metrics.events import HOUR_US, MINUTE_US, NOW_US, row, uuid
from tests.metrics.reading import ALL, different, listed, measured, page_of, summed, used

FULL = row(
    1,
    user="ann",
    project="lair",
    session="s",
    conversation="c",
    key="k",
    client="curl/8",
    endpoint="/v1/chat/completions",
    model_requested="auto",
    model_used="qwen",
    backend="there",
    local=True,
    status=Status.UPSTREAM_ERROR,
    origin=Origin.INTERNAL,
    http_code=502,
    error_reason="UPSTREAM_FAILED",
    finish_reason="stop",
    streamed=True,
    tool_calls=2,
    new_messages=3,
    tokens=Tokens(prompt=10, completion=0, total=10, cached=4, cache_write=5, reasoning=0),
    usage_source=UsageSource.ESTIMATED,
    duration_us=900,
    first_token_us=0,
    upstream_us=800,
    queue_us=7,
    billed_nano=123,
    device_watts=350.5,
    user_source=1,
    project_source=7,
    session_source=10,
    retry_of=uuid(2),
    attempts=(
        Attempt(
            backend="here",
            model="qwen:7b",
            status=Status.TIMEOUT,
            http_code=0,
            duration_us=1,
            error="no answer\nin 5 s",
        ),
        Attempt(
            backend="there",
            model="qwen",
            status=Status.UPSTREAM_ERROR,
            http_code=500,
            duration_us=2,
            error="",
        ),
    ),
)


class Opener(Protocol):
    """Opens one and the same store again and again."""

    def __call__(self, **options: Any) -> AbstractAsyncContextManager[MetricsStore]: ...


@pytest.fixture(params=["sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    def sqlite(**options: Any) -> AbstractAsyncContextManager[MetricsStore]:
        return open_store(tmp_path / "metrics" / "metrics.db", **options)

    return {"sqlite": sqlite}[request.param]


@pytest.fixture
async def store(opened: Opener) -> AsyncIterator[MetricsStore]:
    async with opened() as store:
        yield store


async def test_a_request_comes_back_as_it_was_kept(store: MetricsStore):
    assert await store.append([FULL]) == 1
    assert await listed(store) == [FULL]


async def test_what_is_unknown_stays_unknown(store: MetricsStore):
    bare = row(1)
    await store.append([bare])
    assert await listed(store) == [bare]


async def test_a_request_is_kept_once_with_its_first_attempts(store: MetricsStore):
    again = replace(FULL, user="bob", attempts=(*FULL.attempts, *FULL.attempts))
    assert await store.append([FULL, again]) == 1
    assert await store.append([again, row(2)]) == 1
    assert await listed(store) == [row(2), FULL]


async def test_an_empty_batch_keeps_nothing(store: MetricsStore):
    assert await store.append([]) == 0
    use = await used(store)
    assert (use.days, use.groups, use.distinct) == ((), (), Distinct())


async def test_requests_outlive_the_process(opened: Opener):
    async with opened() as store:
        await store.append([FULL])
    async with opened() as store:
        assert await listed(store) == [FULL]
        assert await store.append([FULL]) == 0


async def test_a_batch_is_kept_whole_or_not_at_all(store: MetricsStore):
    broken = replace(row(2), tool_calls=None)  # type: ignore[arg-type]  # what the schema refuses
    with pytest.raises(Exception, match="tool_calls"):
        await store.append([FULL, broken])
    assert await listed(store) == []
    assert await store.append([FULL]) == 1


async def test_a_cancelled_append_leaves_the_store_in_order(store: MetricsStore):
    for steps in range(12):
        task = asyncio.ensure_future(store.append([row(steps)]))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await store.append([row(n) for n in range(12)])
    assert len(await listed(store)) == 12
    # Neither is anything in the sums that is not among the requests, nor twice.
    assert [total.sums for total in await summed(store, Question(), "records")] == [(12,)]


async def test_pages_follow_each_other_without_gap_or_repeat(store: MetricsStore):
    # Several requests of one instant, sent in no order, and one that comes in between.
    rows = [row(n, NOW_US - n // 3 * MINUTE_US) for n in (5, 0, 3, 8, 1, 7, 2, 6, 4)]
    await store.append(rows)
    seen: list[RequestRow] = []
    after: Position | None = None
    while True:
        page = await page_of(store, limit=2, after=after)
        seen += page.rows
        if page.next is None:
            break
        after = page.next
        await store.append([row(99)])
    assert len(seen) == 9
    assert set(seen) == set(rows)
    assert [r.ts_us for r in seen] == sorted((r.ts_us for r in rows), reverse=True)


async def test_the_last_page_has_no_next_even_when_it_is_full(store: MetricsStore):
    await store.append([row(1), row(2)])
    assert (await page_of(store, limit=2)).next is None


async def test_a_scope_narrows_lists_and_sums(store: MetricsStore):
    ann = row(1, user="ann", project="p", key="k", tokens=Tokens(prompt=1))
    bob = row(2, NOW_US - HOUR_US, user="bob", project="p", tokens=Tokens(prompt=2))
    nobody = row(3, NOW_US - 2 * HOUR_US, tokens=Tokens(prompt=4))
    await store.append([ann, bob, nobody])
    expected = {
        Scope(user="ann"): [ann],
        Scope(user="nobody"): [],
        Scope(project="p"): [ann, bob],
        Scope(user="bob", project="p"): [bob],
        Scope(key="k"): [ann],
        Scope(user="bob", key="k"): [],
        Scope(start_us=bob.ts_us): [ann, bob],
        Scope(end_us=bob.ts_us): [nobody],
        Scope(start_us=bob.ts_us, end_us=ann.ts_us): [bob],
    }
    for scope, rows in expected.items():
        assert await listed(store, scope) == rows
        groups = (await used(store, scope)).groups
        assert sum(group.tokens for group in groups) == sum(r.tokens.prompt or 0 for r in rows)


async def test_groups_tell_activity_from_the_rest(store: MetricsStore):
    told = {"usage_source": UsageSource.COUNTED, "new_messages": 2}
    await store.append(
        [
            row(1, tokens=Tokens(prompt=5, completion=7, cached=3, reasoning=2), **told),
            row(2, tokens=Tokens(prompt=1), origin=Origin.INTERNAL, **told),
            row(3, usage_source=UsageSource.ESTIMATED),
            row(4, status=Status.AUTH, new_messages=9),
        ]
    )
    measures = ("active", "requests", "messages", "tokens", "prompt_tokens", "cached_tokens")
    ok, auth = await summed(store, Question(dimensions=("status",)), *measures)
    assert (ok.keys, ok.sums) == ((Status.OK,), (2, 3, 2, 13, 6, 3))
    assert (auth.keys, auth.sums) == ((Status.AUTH,), (0, 1, 0, 0, 0, 0))
    groups = (await used(store)).groups
    assert sum(group.told for group in groups) == 2
    assert sum(group.reasoning_tokens for group in groups) == 2


async def test_a_total_counts_where_a_part_is_unknown(store: MetricsStore):
    await store.append(
        [
            row(1, tokens=Tokens(total=10)),
            row(2, tokens=Tokens(prompt=4, total=10)),
            row(3, tokens=Tokens(prompt=4, completion=6, total=99)),
            row(4, tokens=Tokens(completion=10)),
        ]
    )
    (group,) = (await used(store)).groups
    assert group.tokens == 40


async def test_buckets_hold_fifteen_minutes(store: MetricsStore):
    first = NOW_US - NOW_US % BUCKET_US
    await store.append(
        [
            row(1, first, tokens=Tokens(prompt=5)),
            row(2, first + BUCKET_US - 1, origin=Origin.INTERNAL, tokens=Tokens(prompt=2)),
            row(3, first + BUCKET_US),
            row(4, first + 2 * BUCKET_US, status=Status.INVALID_REQUEST),
        ]
    )
    number = first // BUCKET_US
    rows = await summed(store, Question(grain=Grain.QUARTER), "active", "tokens")
    assert [(row.time, *row.sums) for row in rows] == [
        (number, 1, 7),
        (number + 1, 1, 0),
        (number + 2, 0, 0),
    ]


async def test_sessions_are_named_else_conversations_else_sittings(store: MetricsStore):
    await store.append(
        [
            row(1, session="s", conversation="a"),
            row(2, session="s", conversation="b"),
            row(3, conversation="b"),
            row(4, conversation="c", project="p"),
            row(5, NOW_US, user="ann"),
            row(6, NOW_US + 30 * MINUTE_US, user="ann"),
            row(7, NOW_US + 60 * MINUTE_US + 1, user="ann"),
            row(8, NOW_US, user="ann", key="k"),
            row(9, NOW_US, origin=Origin.INTERNAL, session="x", conversation="x", project="x"),
        ]
    )
    distinct = await different(store)
    assert (distinct.sessions, distinct.loose_conversations, distinct.inferred_sessions) == (
        *(1, 2),
        *(3,),  # ann's two and that of her key
    )
    assert (distinct.conversations, distinct.projects) == (3, 1)


async def beginning(store: MetricsStore, scope: Scope = ALL) -> int | None:
    rows = await summed(store, Question(scope=scope, grain=Grain.QUARTER), "active")
    return next((row.time * BUCKET_US for row in rows if row.time and row.sums[0]), None)


async def test_the_beginning_is_the_first_activity_even_if_it_comes_late(store: MetricsStore):
    await store.append([row(1), row(2, NOW_US - HOUR_US, user="ann")])
    await store.append([row(3, NOW_US - 9 * HOUR_US, origin=Origin.INTERNAL)])
    await store.append([row(4, NOW_US - 3 * HOUR_US)])
    await store.append([row(5, NOW_US - 5 * HOUR_US, status=Status.AUTH)])
    assert await beginning(store) == NOW_US - 3 * HOUR_US
    assert await beginning(store, Scope(user="ann")) == NOW_US - HOUR_US
    assert await beginning(store, Scope(start_us=NOW_US)) == NOW_US
    assert await beginning(store, Scope(user="bob")) is None


async def test_what_was_imported_is_activity_of_its_day_without_a_duration(store: MetricsStore):
    await store.append([row(1), row(2, NOW_US - 9 * HOUR_US, origin=Origin.IMPORT)])
    assert await beginning(store) == NOW_US - 9 * HOUR_US
    assert [day.requests for day in (await used(store)).days] == [2]
    assert (await measured(store)).total.requests == 0


async def test_labels_beyond_the_limit_fold_into_other(opened: Opener):
    async with opened(max_labels=3) as store:
        await store.append([row(n, NOW_US + n, project=f"p{n}", session=f"s{n}") for n in range(5)])
        await store.append([row(5, NOW_US + 5, project="late"), row(6, NOW_US + 6, project="p1")])
        projects = [r.project for r in reversed(await listed(store))]
        assert projects == ["p0", "p1", "p2", "(other)", "(other)", "(other)", "p1"]
        distinct = await different(store)
        assert distinct.projects == 4
        assert distinct.sessions == 5  # each is new by nature: they have no limit


async def test_ten_thousand_labels_of_one_kind_are_told_apart(store: MetricsStore):
    for first in range(0, 10_100, 1000):
        await store.append(
            [row(n, NOW_US + n, user=f"u{n}") for n in range(first, min(first + 1000, 10_100))]
        )
    (kept,) = await listed(store, Scope(user="u9999"))
    assert kept.user == "u9999"
    assert await listed(store, Scope(user="u10000")) == []
    assert len(await listed(store, Scope(user="(other)"))) == 100


async def test_appending_and_reading_go_on_side_by_side(store: MetricsStore):
    batches = [[row(n * 50 + k, NOW_US + n) for k in range(50)] for n in range(10)]
    results = await asyncio.gather(
        *(store.append(batch) for batch in batches), *(used(store) for _ in range(10))
    )
    assert results[:10] == [50] * 10
    for use in results[10:]:
        # Each was asked by several queries, and yet is of one moment.
        assert sum(day.requests for day in use.days) == sum(g.requests for g in use.groups)
        assert sum(g.requests for g in use.groups) % 50 == 0


async def test_the_files_are_for_their_owner_only(store: MetricsStore, tmp_path: Path):
    await store.append([FULL])
    for file in (tmp_path / "metrics").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "metrics").stat().st_mode) == 0o700
