"""Measure what lair adds to a request: `python bench/overhead.py`.

Every system stands in front of the same stub model server, and all are up the
whole time. A round measures each of them once under one load, in an order that
rotates from round to round; the figures are medians over the rounds. Prints a
table and writes bench/results/overhead.json, from which bench/report.py makes
docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.analysis import BASELINE, Cell, Comparison, Figures, Row, Run, comparisons, rows
from bench.load import Load, LoadError, Samples, measure, percentile
from bench.processes import SYSTEMS, NotStarted, running, stub_server, without_paths

RESULTS = Path(__file__).parent / "results" / "overhead.json"
STREAM_CHUNKS = 100
LOADS = ((1, 0), (16, 0), (1, STREAM_CHUNKS), (16, STREAM_CHUNKS))
# After a load lair delivers what it noted to metrics_svc; the next one must not pay for that.
SETTLE_SECONDS = 0.25
LIBRARIES = ("local-ai-router", "aiohttp", "grpcio", "protobuf", "uvloop")


def main() -> None:
    args = _arguments()
    console = Console(width=None if os.isatty(1) else 120)
    run = measure_all(args.rounds, args.requests, console)
    print_run(run, console)
    if args.output:
        args.output.parent.mkdir(exist_ok=True)
        args.output.write_text(json.dumps(asdict(run), indent=1) + "\n", encoding="utf-8")


def measure_all(rounds: int, requests: int, console: Console) -> Run:
    """Start every system and measure it under every load; leave out those that fail."""
    titles = {BASELINE: "the stub, asked directly"} | {s.name: s.title for s in SYSTEMS}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        stub = stack.enter_context(stub_server())
        ports = {BASELINE: stub}
        for system in SYSTEMS:
            console.print(f"starting {system.title}", style="dim")
            try:
                upstream = f"http://127.0.0.1:{stub}/v1"
                ports[system.name] = stack.enter_context(running(system, upstream))
            except NotStarted as error:
                missing[system.name] = f"it did not start: {error}"
        progress = stack.enter_context(Progress(console=console, transient=True))
        task = progress.add_task("measuring", total=len(LOADS) * rounds)
        cells = []
        for concurrency, chunks in LOADS:
            cell = Cell(concurrency, chunks, {name: [] for name in ports})
            for number in range(rounds):
                missing |= _measure_round(cell, number, ports, requests)
                progress.advance(task)
            cells.append(cell)
    for cell in cells:
        for name in missing:
            cell.rounds.pop(name, None)
    return Run(_facts(rounds, requests), titles, missing, cells)


def _measure_round(cell: Cell, number: int, ports: dict[str, int], requests: int) -> dict[str, str]:
    """Measure each system once; drop those that fail from `ports` and say why."""
    failed: dict[str, str] = {}
    first = number % len(ports)
    for name in [*list(ports)[first:], *list(ports)[:first]]:
        load = Load(ports[name], cell.concurrency, requests, requests // 4, cell.chunks)
        try:
            cell.rounds[name].append(_figures(measure(load)))
        except LoadError as error:
            if name == BASELINE:
                raise
            failed[name] = f"it failed under load: {without_paths(str(error))}"
            del ports[name]
        time.sleep(SETTLE_SECONDS)
    return failed


def print_run(run: Run, console: Console) -> None:
    """Print a table for each load, and how each system stands to its yardstick."""
    for cell in run.cells:
        table = Table(title=cell.title, title_justify="left")
        table.add_column("system")
        for heading in ("p50 ms", "p99 ms", "req/s", "+p50", "+p99", "+TTFT", "chunks/s", "share"):
            table.add_column(heading, justify="right")
        for row in rows(cell):
            table.add_row(run.titles[row.system].replace("`", ""), *_texts(row))
        console.print(table)
        for comparison in comparisons(cell):
            console.print(_sentence(comparison, run.titles), highlight=False)
    for name, reason in run.missing.items():
        console.print(f"{run.titles[name]}: not measured: {reason}", style="yellow")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what lair adds to a request.")
    parser.add_argument("--rounds", type=int, help="rounds over all systems (default 5)")
    parser.add_argument("--requests", type=int, help="requests in a measurement (default 400)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 60, nothing is written")
    parser.add_argument("--output", type=Path, help="where to write the figures")
    args = parser.parse_args()
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.requests = args.requests or (60 if args.quick else 400)
    if not args.output and not args.quick:
        args.output = RESULTS
    return args


def _figures(samples: Samples) -> Figures:
    streams = bool(samples.first_ms)
    return Figures(
        p50_ms=round(percentile(samples.latency_ms, 50), 4),
        p99_ms=round(percentile(samples.latency_ms, 99), 4),
        requests_per_s=round(len(samples.latency_ms) / samples.seconds, 1),
        ttft_p50_ms=round(percentile(samples.first_ms, 50), 4) if streams else None,
        chunks_per_s=round(samples.chunks / samples.seconds, 1) if streams else None,
    )


def _facts(rounds: int, requests: int) -> dict[str, str]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "rounds": str(rounds),
        "requests": str(requests),
    }


def _texts(row: Row) -> list[str]:
    share = "" if row.chunk_share is None else f"{row.chunk_share:.0%}"
    return [
        *(f"{value:.2f}" for value in (row.p50_ms, row.p99_ms)),
        f"{row.requests_per_s:,.0f}",
        *(f"{value:+.2f}" for value in (row.added_p50_ms, row.added_p99_ms)),
        "" if row.added_ttft_ms is None else f"{row.added_ttft_ms:+.2f}",
        "" if row.chunks_per_s is None else f"{row.chunks_per_s:,.0f}",
        share,
    ]


def _sentence(comparison: Comparison, titles: dict[str, str]) -> str:
    pair = f"{titles[comparison.system]} against {titles[comparison.yardstick]}".replace("`", "")
    if comparison.times is None:
        return f"  {pair}, {comparison.measure}: no ratio, the yardstick added nothing"
    verdict = "within the bar" if comparison.met else "OVER the bar"
    return f"  {pair}, {comparison.measure}: {comparison.times.median:.2f} times, {verdict}"


if __name__ == "__main__":
    main()
