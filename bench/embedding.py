"""Measure what serves embeddings: `python -m bench.embedding`.

The default model is exported once, as at a first start. Then each runtime embeds the
same made-up questions and turns through memory_svc's embedder, in processes of their
own that take turns. Prints a table and writes bench/results/embedding.json, from which
bench/report.py makes docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from memory_svc.embedding.sentence import SentenceEmbedder
from memory_svc.embedding.weights import DEFAULT_MODEL

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "embedding.json"
RUNTIMES: tuple[Literal["auto", "torch"], ...] = ("auto", "torch")
TITLES = {"auto": "exported, onnxruntime int8", "torch": "torch float32"}
ROUNDS, QUESTIONS, TURNS, AT_ONCE = 3, 200, 640, 32
_WORDS = (
    "we you they talked walked bought read about with for the a my our garden bicycle report "
    "holiday trading model budget dinner mountain music puppy yesterday tomorrow often never "
    "because while quickly blue expensive quiet first"
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what serves embeddings.")
    parser.add_argument("--serve", choices=RUNTIMES, help=argparse.SUPPRESS)
    parser.add_argument("--models", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=RESULTS, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    if args.serve:
        print(json.dumps(asyncio.run(serve(args.serve, args.models))))
        return
    result = measure(args.rounds)
    _print(result)
    args.output.parent.mkdir(exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(rounds: int) -> dict[str, Any]:
    """Export the model, then measure each runtime `rounds` times; return the medians."""
    figures: dict[str, list[dict[str, float]]] = {runtime: [] for runtime in RUNTIMES}
    with tempfile.TemporaryDirectory() as name:
        begin = time.monotonic()
        _python("memory_svc.embedding.export", DEFAULT_MODEL, name)
        export_s = time.monotonic() - begin
        [manifest] = Path(name).glob("*/manifest.json")
        made = json.loads(manifest.read_text(encoding="utf-8"))
        for _ in range(rounds):
            for runtime, found in figures.items():
                begin = time.time()
                said = _python("bench.embedding", "--serve", runtime, "--models", name)
                one = json.loads(said.splitlines()[-1])
                one["first_s"] = one.pop("first_at") - begin
                found.append(one)
    return {
        "model": made["model"],
        "export_s": export_s,
        "agreement": {key: made[f"agreement_{key}"] for key in ("mean", "least")},
        "runtimes": {
            runtime: {key: median(one[key] for one in found) for key in found[0]}
            for runtime, found in figures.items()
        },
    }


async def serve(runtime: Literal["auto", "torch"], models: Path) -> dict[str, float]:
    """Load the model and embed; return what was measured. `first_at` is a time of day."""
    with closing(SentenceEmbedder(DEFAULT_MODEL, models, runtime=runtime)) as embedder:
        await embedder.load()
        if embedder.status.error:
            sys.exit(embedder.status.error)
        questions = _texts(QUESTIONS, 6, 14)
        await embedder.embed_query(questions[0])
        first_at, ready_mb = time.time(), _rss_mb()
        times = []
        for question in questions:
            begin = time.perf_counter()
            await embedder.embed_query(question)
            times.append((time.perf_counter() - begin) * 1000)
        turns = _texts(TURNS, 5, 60)
        begin = time.perf_counter()
        for first in range(0, TURNS, AT_ONCE):
            await embedder.embed(turns[first : first + AT_ONCE])
        rate = TURNS / (time.perf_counter() - begin)
    times.sort()
    return {
        "first_at": first_at,
        "p50_ms": median(times),
        "p95_ms": times[len(times) * 95 // 100],
        "texts_per_s": rate,
        "ready_mb": ready_mb,
        "after_mb": _rss_mb(),
    }


def _texts(count: int, least: int, most: int) -> Sequence[str]:
    chance = random.Random(count)
    lengths = (chance.randint(least, most) for _ in range(count))
    return [" ".join(chance.choices(_WORDS.split(), k=length)) for length in lengths]


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _python(module: str, *arguments: str) -> str:
    path = os.pathsep.join([str(ROOT), str(ROOT / "gen")])
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def _print(result: dict[str, Any]) -> None:
    table = Table(title=f"{result['model']}, exported in {result['export_s']:.0f} s")
    table.add_column("")
    for title in ("first answer, s", "question p50, ms", "p95, ms", "turns/s", "MB", "MB after"):
        table.add_column(title, justify="right")
    for runtime, found in result["runtimes"].items():
        table.add_row(
            TITLES[runtime],
            f"{found['first_s']:.2f}",
            f"{found['p50_ms']:.1f}",
            f"{found['p95_ms']:.1f}",
            f"{found['texts_per_s']:.0f}",
            f"{found['ready_mb']:.0f}",
            f"{found['after_mb']:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
