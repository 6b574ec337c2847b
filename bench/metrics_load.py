"""Fill metrics with a year and ask it: `python -m bench.metrics_load`.

A made-up history (`bench/metrics_history.py`) is loaded through the service's store, in
batches of 1000. Then every report is asked alone, again and again; and last, further requests
are sent to a running service over gRPC while reports are asked. Prints a table and writes
bench/results/metrics_load.json, from which bench/report.py makes docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.metrics_history import DAY_US, ZONE, History
from bench.metrics_reports import Report, by_ledger, by_rpc
from lair.metrics.v1.usage_service_pb2 import RecordRequestsRequest
from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceStub
from metrics_svc import wire
from metrics_svc.model import RequestRow
from metrics_svc.storage.sqlite import open_store
from svckit.channels import connect

if TYPE_CHECKING:  # exists in the stubs only
    from lair.metrics.v1.usage_service_pb2_grpc import UsageServiceAsyncStub

RESULTS = Path(__file__).parent / "results" / "metrics_load.json"
FIRST_US = 1_767_225_600_000_000  # 2026-01-01
A_DAY, BATCH, IN_FLIGHT, TIMES = 10_000, 1000, 2, 40


@dataclass(frozen=True, slots=True)
class Times:
    """How long one report took, asked so many times."""

    report: str
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is loaded, sent and asked."""

    days: int = 300
    a_day: int = A_DAY
    ingest: int = 60_000
    times: int = TIMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was found. Sizes are of the file: rows, indexes, attempts and sums."""

    facts: Mapping[str, str | int | float | None]
    rows: int
    days: int
    load_rows_per_s: float | None
    bytes_per_row: float
    month_mb: float
    ingest_rows: int
    ingest_rows_per_s: float
    alone: tuple[Times, ...]
    during_ingest: tuple[Times, ...]


def main() -> None:
    plan = Plan()
    parser = argparse.ArgumentParser(description="Fill metrics with a year and ask it.")
    parser.add_argument("--days", type=int, default=plan.days, help=f"each of {A_DAY} requests")
    parser.add_argument("--ingest", type=int, default=plan.ingest, help="requests sent by gRPC")
    parser.add_argument("--database", type=Path, help="keep the file there, and use it again")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where to write the figures")
    args = parser.parse_args()
    plan = Plan(days=args.days, ingest=args.ingest)
    with tempfile.TemporaryDirectory() as folder:
        database = args.database or Path(folder) / "metrics.db"
        result = uvloop.run(run(database, plan, full=database.exists()))
    _print(result)
    args.output.parent.mkdir(exist_ok=True)
    args.output.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")


async def run(database: Path, plan: Plan, *, full: bool) -> Result:
    """Load what is not `full`, measure, and measure again under ingest."""
    machine = facts()
    rate = None if full else await load(database, plan)
    rows, per_row = _size(database)
    last_us = FIRST_US + plan.days * DAY_US
    async with open_store(database, ZONE) as store:
        alone = await asked(by_ledger(store, last_us), plan.times)
    more = _batches(last_us, plan, seed=rows)  # others, where the file is used again
    async with _service(database) as port, connect(f"127.0.0.1:{port}") as channel:
        reports = by_rpc(channel, last_us)
        alone = (*await asked(reports, plan.times), *alone)
        stub = UsageServiceStub(channel)
        seconds, during = await _under_ingest(stub, more, reports)
    return Result(
        facts=machine,
        rows=rows,
        days=plan.days,
        load_rows_per_s=rate,
        bytes_per_row=per_row,
        month_mb=per_row * 30 * A_DAY / 1e6,
        ingest_rows=plan.ingest,
        ingest_rows_per_s=plan.ingest / seconds,
        alone=alone,
        during_ingest=during,
    )


def facts() -> Mapping[str, str | int | float | None]:
    """Return what the figures depend on besides lair."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


async def load(database: Path, plan: Plan) -> float:
    """Fill the store; return how many requests it took in a second."""
    spent, rows = 0.0, 0
    history = History(FIRST_US, plan.a_day)
    async with open_store(database, ZONE) as store:
        for day in track(history.days(plan.days), "loading", total=plan.days):
            began = time.perf_counter()
            for batch in _batched(day):
                rows += await store.append(batch)
            spent += time.perf_counter() - began
    return rows / spent


async def asked(reports: Mapping[str, Report], times: int) -> tuple[Times, ...]:
    """Ask each report again and again, none beside another."""
    found = []
    for name, report in reports.items():
        await report()  # the file's pages are read for the first time
        found.append(_times(name, [await _timed(report) for _ in range(times)]))
    return tuple(found)


async def _under_ingest(
    stub: UsageServiceAsyncStub,
    batches: Sequence[RecordRequestsRequest],
    reports: Mapping[str, Report],
) -> tuple[float, tuple[Times, ...]]:
    """Send all batches, some at once, while one report after the other is asked.

    Return the seconds that took, and the reports' times.
    """
    measured: dict[str, list[float]] = {name: [] for name in reports}
    coming = iter(batches)

    async def send() -> None:
        for batch in coming:
            reply = await stub.RecordRequests(batch, timeout=60.0)
            if reply.recorded_count != len(batch.records):
                raise RuntimeError(f"{reply.recorded_count} of {len(batch.records)} were counted")

    async def ask() -> None:
        while True:
            for name, report in reports.items():
                measured[name].append(await _timed(report))

    asking = asyncio.create_task(ask())
    began = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(IN_FLIGHT)))
    seconds = time.perf_counter() - began
    asking.cancel()
    await asyncio.wait([asking])
    if not asking.cancelled():
        asking.result()
    return seconds, tuple(_times(name, found) for name, found in measured.items() if found)


@asynccontextmanager
async def _service(database: Path) -> AsyncIterator[int]:
    """Run metrics in a process of its own; yield its port."""
    command = (sys.executable, "-m", "bench.metrics_serve", str(database))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


def _batches(first_us: int, plan: Plan, seed: int) -> list[RecordRequestsRequest]:
    """Make what comes after the history, ready to be sent."""
    days = History(first_us, plan.a_day, seed).days(-(-plan.ingest // plan.a_day))
    rows = [row for day in days for row in day][: plan.ingest]
    return [
        RecordRequestsRequest(records=[wire.to_record(row) for row in batch])
        for batch in _batched(rows)
    ]


def _batched(rows: Sequence[RequestRow]) -> list[Sequence[RequestRow]]:
    return [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]


async def _timed(report: Report) -> float:
    began = time.perf_counter()
    await report()
    return (time.perf_counter() - began) * 1000


def _times(name: str, found: Sequence[float]) -> Times:
    ordered = sorted(found)
    p95 = ordered[-(-95 * len(ordered) // 100) - 1]
    return Times(name, ordered[(len(ordered) - 1) // 2], p95)


def _size(database: Path) -> tuple[int, float]:
    connection = sqlite3.connect(database)
    ((rows,),) = connection.execute("select count(*) from request").fetchall()
    ((used,),) = connection.execute(
        "select (page_count - freelist_count) * page_size"
        " from pragma_page_count, pragma_freelist_count, pragma_page_size"
    ).fetchall()
    connection.close()
    return rows, used / rows


def _print(result: Result) -> None:
    console = Console()
    during = {times.report: times for times in result.during_ingest}
    table = Table("report", "p50 ms", "p95 ms", "p50 during ingest", "p95 during ingest")
    for times in result.alone:
        beside = during.get(times.report)
        shown = (f"{beside.p50_ms:.0f}", f"{beside.p95_ms:.0f}") if beside else ("-", "-")
        table.add_row(times.report, f"{times.p50_ms:.1f}", f"{times.p95_ms:.1f}", *shown)
    console.print(table)
    console.print(f"{result.rows:,} requests of {result.days} days")
    console.print(f"{result.bytes_per_row:.1f} bytes a request; {result.month_mb:.1f} MB a month")
    console.print(f"{result.ingest_rows_per_s:,.0f} requests/s by gRPC while reports are asked")
    if result.load_rows_per_s:
        console.print(f"{result.load_rows_per_s:,.0f} requests/s into the store alone")


if __name__ == "__main__":
    main()
