"""The figures of several processes become one page, each series once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from lair.common.v1.monitoring_service_pb2 import GetExpositionRequest, GetExpositionResponse
from lair.common.v1.monitoring_service_pb2_grpc import MonitoringServiceStub
from svckit.channels import connect
from svckit.errors import ServiceError
from svckit.exposition import PROCESS_ID, exposition, merged
from svckit.grpc_server import Servicers, serving
from svckit.inprocess import InProcessChannel
from svckit.sqlite import open_database
from svckit.telemetry import COST_USD, FALLBACKS, REQUEST_SECONDS

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def values(page: bytes) -> Values:
    """Return every series of a page, which must have each once."""
    found: Values = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


OTHER = b"""\
# HELP lair_fallbacks_total x
# TYPE lair_fallbacks_total counter
lair_fallbacks_total{to="b",reason="timeout",from="merged"} 3
# HELP lair_elsewhere x
# TYPE lair_elsewhere gauge
lair_elsewhere{a="1"} 7
# HELP python_elsewhere x
# TYPE python_elsewhere gauge
python_elsewhere 7
# HELP lair_request_duration_seconds x
# TYPE lair_request_duration_seconds histogram
lair_request_duration_seconds_bucket{backend="merged",le="0.1"} 1
lair_request_duration_seconds_bucket{backend="merged",le="+Inf"} 2
lair_request_duration_seconds_count{backend="merged"} 2
lair_request_duration_seconds_sum{backend="merged"} 9.5
"""


def test_what_processes_count_alike_is_added_and_the_rest_kept() -> None:
    FALLBACKS.labels("merged", "b", "timeout").inc(2)
    REQUEST_SECONDS.labels("merged").observe(0.05)
    found = values(merged([OTHER, OTHER]))
    fallback = (("from", "merged"), ("reason", "timeout"), ("to", "b"))
    backend = ("backend", "merged")
    assert found["lair_fallbacks_total", fallback] == 8
    assert found["lair_elsewhere", (("a", "1"),)] == 14
    assert found["lair_request_duration_seconds_count", (backend,)] == 5
    assert found["lair_request_duration_seconds_sum", (backend,)] == pytest.approx(19.05)
    assert found["lair_request_duration_seconds_bucket", (backend, ("le", "0.1"))] == 3
    assert ("python_elsewhere", ()) not in found
    assert any(name == "python_info" for name, _ in found)


def test_alone_it_is_the_page_of_the_process() -> None:
    assert values(merged([])).keys() == values(exposition()).keys()


def test_totals_are_what_they_are_set_to() -> None:
    COST_USD.set({"a": 1.5, "b": 0.0})
    COST_USD.set({"a": 2.5})
    assert REGISTRY.get_sample_value("lair_cost_usd_total", {"backend": "a"}) == 2.5
    assert REGISTRY.get_sample_value("lair_cost_usd_total", {"backend": "b"}) is None
    COST_USD.set({})
    assert b"lair_cost_usd" not in exposition()


async def test_a_database_tells_its_size_while_it_is_open(tmp_path: Path) -> None:
    def size() -> float | None:
        return REGISTRY.get_sample_value("lair_db_size_bytes", {"database": "sized"})

    path = tmp_path / "sized.db"
    async with open_database(path, tmp_path) as database:
        async with database.transaction() as tx:
            await tx.execute("create table t (x)")
        log = path.with_name("sized.db-wal")
        assert size() == path.stat().st_size + log.stat().st_size
    assert size() is None


# -- the service -----------------------------------------------------------------------


class Figures:
    """Counts how often it is brought up to date, and cannot be for once."""

    def __init__(self) -> None:
        self.refreshed = 0
        self.late = False

    async def refresh(self) -> None:
        self.refreshed += 1
        if self.late:
            raise ServiceError("DEADLINE_EXCEEDED", "the ledger took too long")


@asynccontextmanager
async def monitoring(figures: Figures, *, in_process: bool) -> AsyncIterator[MonitoringServiceStub]:
    offered = Servicers("some", (), (), refresh=figures.refresh)
    if in_process:
        yield MonitoringServiceStub(InProcessChannel(offered))
        return
    async with (
        serving(offered, "127.0.0.1:0", grace_seconds=0) as port,
        connect(f"127.0.0.1:{port}") as channel,
    ):
        yield MonitoringServiceStub(channel)


@pytest.mark.parametrize("in_process", [False, True], ids=["over a channel", "in process"])
async def test_every_server_tells_its_figures_up_to_date(in_process: bool) -> None:
    figures = Figures()
    async with monitoring(figures, in_process=in_process) as stub:
        answer: GetExpositionResponse = await stub.GetExposition(GetExpositionRequest(), timeout=5)
    assert figures.refreshed == 1
    assert answer.process_id == PROCESS_ID
    assert ("lair_inflight_requests", ()) in values(answer.text)


async def test_the_process_that_asks_itself_needs_no_text() -> None:
    figures = Figures()
    async with monitoring(figures, in_process=True) as stub:
        answer = await stub.GetExposition(GetExpositionRequest(process_id=PROCESS_ID), timeout=5)
    assert (answer.text, figures.refreshed) == (b"", 1)


async def test_figures_that_are_late_are_told_as_they_were() -> None:
    figures = Figures()
    figures.late = True
    async with monitoring(figures, in_process=True) as stub:
        with capture_logs() as lines:
            answer = await stub.GetExposition(GetExpositionRequest(), timeout=5)
    assert answer.text
    assert [(line["log_level"], line["error"]) for line in lines] == [
        ("warning", "the ledger took too long")
    ]
