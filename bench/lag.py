"""Measure how late an event loop is from within: lair's own, or one that does nothing else.

    python -m bench.lag --figures FILE               # the yardstick: an idle loop
    python -m bench.lag --figures FILE --edge PORT   # gateway and router, as `lair up` runs them

A task asks to be woken every 10 ms and notes by how much each time is missed. That is what a
stall of the loop does to every stream at once. On a busy machine most of it is waiting for a
core; Linux counts that for each thread, and what is left is how long the loop was held. What
the machine's own host holds is not counted anywhere, which is why an idle loop is measured too.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from bench.analysis import STALL_MS
from launcher.configuration import make_data_dir, resolve
from launcher.edge import run as run_edge
from svckit import lifecycle
from svckit.logging import configure_logging

BEAT_SECONDS = 0.01
_LINE_SECONDS = 1.0
# Nanoseconds on a core, nanoseconds waiting for one, how often.
_WAITS = Path("/proc/thread-self/schedstat")


@dataclass(frozen=True, slots=True)
class Second:
    """What was seen in about a second; `at` is its end on the machine's monotonic clock.

    The latest wake-up, the longest that the loop was held, how often it was held for longer than
    `STALL_MS`, and the memory in use.
    """

    at: float
    late_ms: float
    held_ms: float
    stalls: int
    rss_mb: float


def read(path: Path, *, since: float) -> list[Second]:
    """Return the seconds in a file of figures that ended after `since`."""
    lines = path.read_bytes().splitlines(keepends=True)
    found = [msgspec.json.decode(line, type=Second) for line in lines if line.endswith(b"\n")]
    return [second for second in found if second.at > since]


async def sample(path: Path) -> None:
    """Write a line for every second until cancelled."""
    process = psutil.Process()
    with path.open("ab", buffering=0) as output:
        while True:
            late, held = await _beats(_LINE_SECONDS)
            second = Second(
                at=time.monotonic(),
                late_ms=round(max(late), 2),
                held_ms=round(max(held), 2),
                stalls=sum(ms > STALL_MS for ms in held),
                rss_mb=round(process.memory_info().rss / 2**20, 2),
            )
            output.write(msgspec.json.encode(second) + b"\n")


async def _beats(seconds: float) -> tuple[list[float], list[float]]:
    """Return of each wake-up by how many milliseconds it was late, and held."""
    late: list[float] = []
    held: list[float] = []
    end = time.monotonic() + seconds
    while (begin := time.monotonic()) < end:
        waited = _waited_ms()
        await asyncio.sleep(BEAT_SECONDS)
        late.append((time.monotonic() - begin - BEAT_SECONDS) * 1000)
        held.append(late[-1] - (_waited_ms() - waited))
    return late, held


def _waited_ms() -> float:
    """Return how long this thread has waited for a core so far; 0 where nobody counts."""
    try:
        counts = _WAITS.read_bytes()
    except OSError:
        return 0.0
    return int(counts.split()[1]) / 1e6


async def _measured(path: Path, edge_port: int | None) -> None:
    sampling = asyncio.create_task(sample(path))
    try:
        if edge_port:
            settings = resolve(None, {"gateway": {"port": edge_port}}).settings
            configure_logging("edge", level=settings.log_level, fmt=settings.log_format)
            make_data_dir(settings.data_dir)
            await run_edge(settings)
        else:
            await lifecycle.stop_requested()
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure how late an event loop is.")
    parser.add_argument("--figures", type=Path, required=True, help="where to write them")
    parser.add_argument("--edge", type=int, help="the port of a gateway to run on the loop")
    arguments = parser.parse_args()
    lifecycle.run(_measured(arguments.figures, arguments.edge))
