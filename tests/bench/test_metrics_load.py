"""The measuring of a year of metrics: what it makes up, what it asks, the page about it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from bench.metrics_history import DAY_US, History
from bench.metrics_load import FIRST_US, Plan, run
from bench.metrics_report import counting
from metrics_svc.model import RequestRow, Status


@pytest.fixture(scope="module")
def made() -> list[list[RequestRow]]:
    return list(History(FIRST_US, 400).days(2))


def test_each_day_has_as_many_requests_as_are_wanted_in_order(made: list[list[RequestRow]]):
    for number, day in enumerate(made):
        assert len(day) == 400
        times = [row.ts_us for row in day]
        assert times == sorted(times)
        assert times[0] >= FIRST_US + number * DAY_US


def test_the_same_seed_makes_the_same(made: list[list[RequestRow]]):
    assert list(History(FIRST_US, 400).days(2)) == made
    assert list(History(FIRST_US, 400, seed=7).days(2)) != made


def test_it_is_a_busy_household(made: list[list[RequestRow]]):
    rows = [row for day in made for row in day]
    assert len({row.request_id for row in rows}) == len(rows)
    assert {row.user for row in rows} == {"ann", "bob", "cleo", "flows"}
    assert 0.9 < sum(row.status is Status.OK for row in rows) / len(rows) < 1
    assert any(len(row.attempts) == 2 for row in rows)
    assert any(row.retry_of for row in rows)
    assert all((row.cost_nano == 0) == row.local for row in rows if row.cost_nano is not None)


async def test_all_is_measured_and_told(tmp_path: Path):
    plan = Plan(days=2, a_day=400, ingest=300, times=2)
    result = await run(tmp_path / "metrics.db", plan, full=False)
    assert (result.rows, result.ingest_rows) == (800, 300)
    assert result.load_rows_per_s
    assert all(0 < times.p50_ms <= times.p95_ms for times in result.alone)
    page = counting(asdict(result))
    for times in result.alone:
        assert f"| {times.report} | " in page
    assert "800 in all" in page


def test_a_bar_that_is_missed_is_marked():
    times = {"report": "dashboard", "p50_ms": 100.0, "p95_ms": 151.0}
    result = {
        "facts": {"date": "2026-11-21", "cores": 2, "system": "Linux", "python": "3", "load": 0.1},
        "rows": 3,
        "days": 1,
        "ingest_rows": 5,
        "bytes_per_row": 180.0,
        "month_mb": 60.5,
        "ingest_rows_per_s": 9_999.0,
        "alone": [times],
        "during_ingest": [],
    }
    page = counting(result)
    assert "| bytes a request, all indexes and sums | 180 | at most 180 | yes |" in page
    assert page.count("**no**") == 3
