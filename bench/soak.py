"""Keep a gateway busy for long and see whether it grows or stalls: `python bench/soak.py`.

500 streams are open that say next to nothing, and 50 that say a word every 50 ms, begun anew
as they end. Gateway and router share a process with a task that measures how late its event
loop is (`bench/lag.py`); an idle event loop beside it tells what of that is the machine's.
Memory and metrics run in processes of their own, as under `lair up`. Prints a table and
writes bench/results/soak.json, from which bench/report.py makes docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median

import uvloop
from rich.console import Console
from rich.table import Table

from bench.analysis import MOST_GROWTH, STALL_MS, Soak
from bench.lag import Second, read
from bench.load import PATH, LoadError
from bench.processes import System, program, quiet_lair_environment, running, stub_server

RESULTS = Path(__file__).parent / "results" / "soak.json"
IDLE_STREAMS, ACTIVE_STREAMS = 500, 50
# A word now and then, well within what lair takes for silence of a backend.
IDLE_DELAY_MS, ACTIVE_DELAY_MS, ACTIVE_CHUNKS = 20_000, 50, 100
WARM_UP_SECONDS = 20.0
_FILES = 4 * (IDLE_STREAMS + ACTIVE_STREAMS)


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep a gateway busy and watch it.")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default 600)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where to write the figures")
    args = parser.parse_args()
    soak = run(args.seconds)
    _print(soak)
    args.output.parent.mkdir(exist_ok=True)
    args.output.write_text(json.dumps(asdict(soak), indent=1) + "\n", encoding="utf-8")
    return 0 if soak.steady and soak.smooth else 1


def run(seconds: float) -> Soak:
    """Run the load for `seconds` after a warm-up. Raises `LoadError` where a stream fails."""
    _allow_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lair, idle = folder / "lair.jsonl", folder / "idle.jsonl"
        stack.enter_context(program(["-m", "bench.lag", f"--figures={idle}"], {}, folder))
        upstream = f"http://127.0.0.1:{stack.enter_context(stub_server())}/v1"
        port = stack.enter_context(_lair(lair, upstream))
        since, requests = uvloop.run(_load(port, seconds))
        figures, yardstick = read(lair, since=since), read(idle, since=since)
    return _summary(seconds, requests, figures, yardstick)


@contextmanager
def _lair(figures: Path, upstream: str) -> Iterator[int]:
    """Run memory, metrics and a measured edge; yield the gateway's port."""
    command = ["-m", "bench.lag", f"--figures={figures}"]
    edge = System(
        "edge", "edge", lambda port, _: [*command, f"--edge={port}"], quiet_lair_environment
    )
    with ExitStack() as stack:
        port = stack.enter_context(running(edge, upstream))
        for service, offset in (("memory", 2), ("metrics", 3)):
            folder = figures.parent / service
            folder.mkdir()
            arguments = ["-m", "launcher", service, f"--port={port + offset}"]
            environment = quiet_lair_environment(folder / "data", upstream)
            stack.enter_context(program(arguments, environment, folder))
        yield port


async def _load(port: int, seconds: float) -> tuple[float, int]:
    """Keep all streams going; return since when it counts, and how many active ones ended."""
    ended = [0]
    async with asyncio.TaskGroup() as tasks:
        idle = [tasks.create_task(_stream(port, 1_000, IDLE_DELAY_MS)) for _ in range(IDLE_STREAMS)]
        active = [tasks.create_task(_again(port, ended)) for _ in range(ACTIVE_STREAMS)]
        await asyncio.sleep(WARM_UP_SECONDS)
        since, before = time.monotonic(), ended[0]
        await asyncio.sleep(seconds)
        if any(task.done() for task in idle):
            raise LoadError("an idle stream ended before its time")
        for task in (*idle, *active):
            task.cancel()
    return since, ended[0] - before


async def _again(port: int, ended: list[int]) -> None:
    while True:
        await _stream(port, ACTIVE_CHUNKS, ACTIVE_DELAY_MS)
        ended[0] += 1


async def _stream(port: int, chunks: int, delay_ms: float) -> None:
    """Read one stream to its end. Raises `LoadError` where it is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_request(chunks, delay_ms))
        head = await reader.readuntil(b"\r\n\r\n")
        tail = b""
        while piece := await reader.read(65536):
            tail = (tail + piece)[-64:]
    finally:
        writer.close()
    if b" 200 " not in head or b"[DONE]" not in tail:
        raise LoadError(f"a stream failed: {(head + tail).decode(errors='replace')}")


def _request(chunks: int, delay_ms: float) -> bytes:
    message = {"role": "user", "content": "Say something that takes a while to say."}
    fields = {"model": "stub", "messages": [message], "stream": True, "max_tokens": chunks}
    body = json.dumps(fields | {"stub_delay_ms": delay_ms}).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _summary(seconds: float, requests: int, figures: list[Second], yardstick: list[Second]) -> Soak:
    sixth = max(len(figures) // 6, 1)
    return Soak(
        seconds=seconds,
        idle_streams=IDLE_STREAMS,
        active_streams=ACTIVE_STREAMS,
        requests=requests,
        rss_begin_mb=median(second.rss_mb for second in figures[:sixth]),
        rss_end_mb=median(second.rss_mb for second in figures[-sixth:]),
        late_p50_ms=median(second.late_ms for second in figures),
        late_max_ms=max(second.late_ms for second in figures),
        held_max_ms=max(second.held_ms for second in figures),
        stalls=sum(second.stalls for second in figures),
        idle_loop_late_p50_ms=median(second.late_ms for second in yardstick),
        idle_loop_late_max_ms=max(second.late_ms for second in yardstick),
        idle_loop_held_max_ms=max(second.held_ms for second in yardstick),
        idle_loop_stalls=sum(second.stalls for second in yardstick),
    )


def _allow_files() -> None:
    """Let this process and its children hold a connection or two for each stream."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard), hard))


def _print(soak: Soak) -> None:
    table = Table(title=f"{soak.idle_streams} idle and {soak.active_streams} active streams")
    for heading in ("", "lair", "an idle event loop"):
        table.add_column(heading, justify="right" if heading else "left")
    for what, own, idle in (
        ("latest wake-up, ms", soak.late_max_ms, soak.idle_loop_late_max_ms),
        ("latest of a second, median, ms", soak.late_p50_ms, soak.idle_loop_late_p50_ms),
        ("longest held, ms", soak.held_max_ms, soak.idle_loop_held_max_ms),
        (f"times held for more than {STALL_MS:.0f} ms", soak.stalls, soak.idle_loop_stalls),
    ):
        table.add_row(what, f"{own:.4g}", f"{idle:.4g}")
    table.add_row("memory, MB", f"{soak.rss_begin_mb:.0f} to {soak.rss_end_mb:.0f}", "")
    console = Console()
    console.print(table)
    console.print(
        f"{soak.requests} streams in {soak.seconds:.0f} s; memory {soak.growth:+.1%}: "
        f"{'within' if soak.steady else 'OVER'} {MOST_GROWTH:.0%}; "
        f"stalls: {'within' if soak.smooth else 'OVER'} the bar"
    )


if __name__ == "__main__":
    sys.exit(main())
