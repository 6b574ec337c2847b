"""The outage bench: what it finds in a lair that is well, and what it would find in others."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from bench import outage
from bench.metrics_report import without_metrics
from bench.outage import Outage

WELL = Outage(
    seconds=600.0,
    spool_mb=256,
    answered=12_001,
    refused=0,
    most_journal_kb=3_000,
    health="degraded",
    counted=12_001,
    doubled=0,
    dropped=0,
    caught_up_seconds=3.0,
)


def test_a_lair_without_metrics_loses_nothing() -> None:
    found = outage.run(2.0, 30.0, spool_mb=256)
    assert found.well, found
    assert found.answered >= 50
    assert (found.counted, found.dropped) == (found.answered, 0)
    assert found.most_journal_kb > 0


@pytest.mark.parametrize(
    "fault", [{"counted": 12_000}, {"doubled": 1}, {"refused": 1}, {"health": "ok"}]
)
def test_a_fault_is_one(fault: dict[str, int | str]) -> None:
    assert WELL.well
    assert not replace(WELL, **fault).well  # type: ignore[arg-type]


def test_what_was_dropped_and_told_is_not_lost() -> None:
    assert replace(WELL, counted=12_000, dropped=1).lost == 0


def test_the_page_has_a_column_for_each_outage() -> None:
    told = [{**asdict(each), "lost": each.lost} for each in (WELL, replace(WELL, spool_mb=1))]
    page = without_metrics(told)
    assert "|  | journal of 256 MB | journal of 1 MB |" in page
    assert "| requests answered | 12,001 | 12,001 |" in page
