"""When requests were made, against a walk over them, and on days that are unusual."""

from __future__ import annotations

import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_svc.model import Scope, Status
from metrics_svc.query import Question
from metrics_svc.reports.activity import MAX_DAYS, Activity, activity, chart_of, read_activity
from metrics_svc.reports.levels import levels
from metrics_svc.reports.streaks import Run
from metrics_svc.storage.base import MetricsStore
from metrics_svc.storage.sqlite import open_store
from tests.metrics.events import DAY_US, HOUR_US, NOW_US, row, us
from tests.metrics.histories import (
    HALF_US,
    MOMENTS,
    few,
    histories,
    is_activity,
    local_time,
    scopes,
    superseded,
    tokens_of,
    within,
)
from tests.metrics.test_ledger_oracle import fill

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
ALL = Scope()


async def told(
    store: MetricsStore, scope: Scope = ALL, zone: ZoneInfo = UTC, now_us: int = NOW_US
) -> Activity:
    chart = chart_of(scope, zone, now_us)
    async with store.reading() as ledger:
        return activity(await read_activity(ledger, chart, zone), chart, zone, now_us)


def ordinal(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def on_days(found: Activity) -> dict[str, int]:
    return {
        date.fromordinal(day.day).isoformat(): day.requests for day in found.days if day.requests
    }


async def test_a_chart_is_of_a_year_until_today(tmp_path: Path):
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append([row(1, NOW_US - 400 * DAY_US), row(2, NOW_US - 2 * DAY_US)])
        found = await told(store, Scope(end_us=NOW_US + 9 * DAY_US))
        assert [len(found.days), found.days[-1].day] == [365, ordinal("2026-11-21")]
        assert on_days(found) == {"2026-11-19": 1}
        # What was before is in no figure of these days, but in those of all time.
        assert sum(hour.requests for hour in found.hours) == 1
        assert (found.started, found.days[0].known) == (ordinal("2025-10-17"), True)
        assert found.streaks.current is found.ever.current is None
        everything = await told(store, Scope(start_us=0))
        assert len(everything.days) == MAX_DAYS
        assert sum(day.requests for day in everything.days) == 2
        assert not (await told(store, Scope(start_us=NOW_US + DAY_US))).days


async def test_a_day_without_data_is_not_idle(tmp_path: Path):
    async with open_store(tmp_path / "metrics.db") as store:
        assert {day.known for day in (await told(store)).days} == {False}
        await store.append([row(1, NOW_US - 2 * DAY_US)])
        await store.append([row(2, NOW_US - 9 * DAY_US, status=Status.AUTH)])
        days = (await told(store)).days
        assert [day.known for day in days[-4:]] == [False, True, True, True]
        assert [day.level for day in days[-4:]] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)]
)
async def test_days_are_as_long_as_clocks_make_them(tmp_path: Path, day: str, hours: int):
    begin = us(f"{day}T00:00+0{2 if day != '2026-03-29' else 1}:00")
    rows = [row(number, begin + (number - 1) * HOUR_US) for number in range(hours + 2)]
    async with open_store(tmp_path / "metrics.db", BERLIN) as store:
        await store.append(rows)
        found = await told(store, zone=BERLIN)
    before, after = (date.fromisoformat(day) + timedelta(days=it) for it in (-1, 1))
    assert on_days(found) == {before.isoformat(): 1, day: hours, after.isoformat(): 1}
    at_two = [hour.requests for hour in found.hours if (hour.weekday, hour.hour) == (6, 2)]
    assert at_two == {23: [], 24: [], 25: [2]}[hours]
    assert found.streaks.longest == Run(ordinal(day) - 1, ordinal(day) + 1)


async def test_a_date_that_was_skipped_is_no_day(tmp_path: Path):
    apia = ZoneInfo("Pacific/Apia")
    async with open_store(tmp_path / "metrics.db", apia) as store:
        await store.append([row(1, us("2011-12-30T09:00")), row(2, us("2011-12-30T11:00"))])
        found = await told(store, zone=apia, now_us=us("2011-12-31T09:00"))
    assert [date.fromordinal(day.day).day for day in found.days[-3:]] == [28, 29, 31]
    assert on_days(found) == {"2011-12-29": 1, "2011-12-31": 1}


async def test_the_best_weekday_is_by_its_days_and_not_by_their_number(tmp_path: Path):
    monday, days = us("2026-11-02T12:00"), []
    # Three Mondays with three requests each, two Tuesdays with four.
    for week in range(3):
        days += [monday + week * 7 * DAY_US + number for number in range(3)]
    for week in range(2):
        days += [monday + DAY_US + week * 7 * DAY_US + number for number in range(4)]
    async with open_store(tmp_path / "metrics.db") as store:
        await store.append([row(number, at) for number, at in enumerate(days)])
        end = us("2026-11-17")
        found = await told(store, Scope(start_us=us("2026-10-01"), end_us=end))
        assert found.best_weekday == 1
        assert [(it.days, it.requests) for it in found.weekdays[:3]] == [(3, 9), (2, 8), (2, 0)]
        assert (await told(store, Scope(user="nobody"))).best_weekday is None


def expected_weekday(days: Sequence[Any]) -> int | None:
    requests: Counter[int] = Counter()
    number: Counter[int] = Counter()
    for day in days:
        weekday = date.fromordinal(day.day).weekday()
        requests[weekday] += day.requests
        number[weekday] += day.known
    means = {it: requests[it] / number[it] for it in number if number[it] and requests[it]}
    return min(means, key=lambda it: (-means[it], it)) if means else None


@settings(max_examples=50, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), name=few(sorted(MOMENTS)))
async def test_activity_equals_a_walk_over_the_requests(data: st.DataObject, seed: int, name: str):
    zone, moment = ZoneInfo(name), MOMENTS[name]
    now = moment + HALF_US + data.draw(st.integers(0, DAY_US))
    rows, scope = data.draw(histories(moment)), data.draw(scopes(moment))
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "metrics.db") as store:
            await fill(store, rows, random.Random(seed))
            found = await told(store, scope, zone, now)
    today = local_time(now, zone).toordinal()
    ever_asked = Question(scope=replace(scope, start_us=None, end_us=None))
    repeated = superseded(rows)
    requests: Counter[int] = Counter()
    tokens: Counter[int] = Counter()
    hours: defaultdict[Any, list[int]] = defaultdict(lambda: [0, 0])
    ever = set()
    for each in rows:
        counts = is_activity(each) and each.request_id not in repeated
        local = local_time(each.ts_us, zone)
        if counts and within(each, ever_asked):
            ever.add(local.toordinal())
        if within(each, Question(scope=scope)):
            requests[local.toordinal()] += counts
            tokens[local.toordinal()] += tokens_of(each.tokens)
            hours[local.weekday(), local.hour][0] += counts
            hours[local.weekday(), local.hour][1] += tokens_of(each.tokens)
    shown = [day.day for day in found.days]
    assert found.started == min(ever, default=None)
    assert [day.requests for day in found.days] == [requests[day] for day in shown]
    assert [day.tokens for day in found.days] == [tokens[day] for day in shown]
    assert [day.level for day in found.days] == levels([requests[day] for day in shown])
    assert [day.known for day in found.days] == [bool(ever) and day >= min(ever) for day in shown]
    assert {(it.weekday, it.hour): [it.requests, it.tokens] for it in found.hours} == hours
    assert found.best_weekday == expected_weekday(found.days)
    assert all(day <= today for day in shown)
