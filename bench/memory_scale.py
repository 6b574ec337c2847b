"""Measure memory_svc over gRPC with much in it: 10k, 100k and 1M turns of 1, 10 and 1,000 users.

python -m bench.memory_scale                              # everything; 1M turns take an hour
python -m bench.memory_scale --turns 10000 --users 1      # a part
python -m bench.memory_scale --keep FOLDER                # fill databases there, once

Turns are messages, made by `bench/memory_turns.py` and stored by `bench/memory_filling.py`,
which says where their vectors come from. For each size a real memory_svc runs in a process
of its own: every question is asked twice, and what it takes the second time is without
embedding it (`bench/memory_server.py`). Start, memory and ingest are measured on
`lair memory` itself. Prints a table and writes bench/results/memory_scale.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.memory_client import Times, connected, ingest, measured, questions
from bench.memory_filling import Pool, fill, pool_of
from bench.processes import free_ports, program
from memory_svc.main import embedder_for
from svckit.settings import Settings

RESULTS = Path(__file__).parent / "results" / "memory_scale.json"
TURNS, USERS = (10_000, 100_000, 1_000_000), (1, 10, 1_000)
# Start, memory and ingest are measured here.
INGEST_TURNS, INGEST_USERS = 100_000, 1
RATE, SECONDS = 50.0, 60.0
STARTS = 3
_FILLED = "filled"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, nargs="+", default=TURNS)
    parser.add_argument("--users", type=int, nargs="+", default=USERS)
    parser.add_argument("--questions", type=int, default=1000, help="for each size (default 1000)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of ingest; 0 for none")
    parser.add_argument("--keep", type=Path, help="where filled databases are and stay")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where to write the figures")
    args = parser.parse_args()
    sizes = [(turns, users) for turns in args.turns for users in args.users]
    with tempfile.TemporaryDirectory() as temporary:
        result = asyncio.run(
            measure(sizes, args.keep or Path(temporary), args.questions, args.seconds)
        )
    show(result)
    args.output.parent.mkdir(exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


async def measure(
    sizes: list[tuple[int, int]], folder: Path, count: int, seconds: float
) -> dict[str, Any]:
    """Measure each size (turns, users) with `count` questions."""
    settings, begun = Settings(data_dir=folder), facts()
    embedder = embedder_for(settings)
    await embedder.load()
    if embedder.status.state != "ready":
        sys.exit(embedder.status.error)
    pool = await pool_of(embedder)
    rows, running = [], None
    for turns, users in sizes:
        data = await filled(folder, pool, turns, users)
        rows.append({"turns": turns, "users": users, **stored(data, turns)})
        rows[-1] |= await latencies(data, turns, users, count)
        print(json.dumps(rows[-1]))
        if (turns, users) == (INGEST_TURNS, INGEST_USERS) and seconds:
            with tempfile.TemporaryDirectory(dir=folder) as copy:
                # What comes in stays out of the database that is kept.
                shutil.copytree(data, copy, dirs_exist_ok=True)
                running = await life(Path(copy), turns, users, count, seconds)
            print(json.dumps(running))
    embedder.close()
    return {"facts": begun, "questions": count, "sizes": rows, "running": running}


async def filled(folder: Path, pool: Pool, turns: int, users: int) -> Path:
    """Return a data directory with so many turns, filling it if that was not done."""
    data = folder / f"{turns}-{users}"
    database = Settings(data_dir=data).memory_database
    if not (data / _FILLED).exists():
        shutil.rmtree(data, ignore_errors=True)
        # Every service has the model that was exported once.
        models = Settings(data_dir=folder).embedding_models
        shutil.copytree(models, Settings(data_dir=data).embedding_models)
        begin, last = time.monotonic(), 0.0

        def said(what: str, number: int) -> None:
            nonlocal last
            if (now := time.monotonic()) > last + 15:
                last = now
                print(f"{turns} turns, {users} users: {what} {number}, {now - begin:.0f} s")

        await fill(database, pool, turns, users, said)
        (data / _FILLED).touch()
    return data


def stored(data: Path, turns: int) -> dict[str, Any]:
    """Return how much the database takes."""
    path = Settings(data_dir=data).memory_database
    with closing(sqlite3.connect(path)) as connection:
        [said] = connection.execute("select sum(length) from passage_trait").fetchone()
    size = sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))
    return {"bytes_per_turn": round(size / turns), "words_per_turn": round(said / turns)}


async def latencies(data: Path, turns: int, users: int, count: int) -> dict[str, Any]:
    """Ask a running service; return how long it took, with and without embedding."""
    asked = questions(turns, users, count)
    port = free_ports(1)
    arguments = ["-m", "bench.memory_server", "--data-dir", str(data), "--port", str(port)]
    with program(arguments, {"LAIR_LOG_LEVEL": "warning"}, data) as process:
        async with connected(port) as memory:
            await memory.ready()
            first = await measured(memory.recall, asked[:1])
            embedded = await measured(memory.recall, asked)
            searches = await measured(memory.search, asked)
            recalls = await measured(memory.recall, asked)
            return {
                "first_ms": round(first.ms[0], 1),
                "search_ms": searches.summary(),
                "recall_ms": recalls.summary(),
                "recall_with_embedding_ms": embedded.summary(),
                "rss_mb": rss_mb(process.pid),
            }


async def life(data: Path, turns: int, users: int, count: int, seconds: float) -> dict[str, Any]:
    """Start `lair memory` some times, ask it, and let it take in messages."""
    asked = questions(turns, users, count)
    starts = Times()
    for n in range(STARTS):
        port = free_ports(1)
        arguments = ["-P", "-m", "launcher", "memory", "--data-dir", str(data), "--port", str(port)]
        begin = time.perf_counter()
        with program(arguments, {"LAIR_LOG_LEVEL": "warning"}, data) as process:
            async with connected(port) as memory:
                await memory.first_recall(asked[0])
                starts.ms.append((time.perf_counter() - begin) * 1000)
                if n < STARTS - 1:
                    continue
                await measured(memory.search, asked)
                asked_mb = rss_mb(process.pid)
                took = await ingest(memory, asked, users=users, rate=RATE, seconds=seconds)
                return {
                    "turns": turns,
                    "start_to_first_recall_s": round(starts.percentile(50) / 1000, 2),
                    "rss_mb": asked_mb,
                    "rss_after_ingest_mb": rss_mb(process.pid),
                    "ingest": took,
                }
    raise AssertionError


def rss_mb(pid: int) -> int:
    """Return the memory that a process has resident."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def facts() -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def show(result: dict[str, Any]) -> None:
    table = Table(
        "turns", "users", "search p50", "p99", "recall p50", "p99", "embedding too", "p99"
    )
    for name in ("first", "MB", "bytes/turn"):
        table.add_column(name)
    for row in result["sizes"]:
        times = [row[name] for name in ("search_ms", "recall_ms", "recall_with_embedding_ms")]
        table.add_row(
            *(f"{row['turns']:,}", f"{row['users']:,}"),
            *(f"{each[p]:.1f}" for each in times for p in ("p50", "p99")),
            *(f"{row['first_ms']:.0f}", str(row["rss_mb"]), str(row["bytes_per_turn"])),
        )
    console = Console()
    console.print(table)
    if result["running"]:
        console.print(result["running"])


if __name__ == "__main__":
    sys.exit(main())
