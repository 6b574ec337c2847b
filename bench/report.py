"""Write docs/performance.md from bench/results/.

The page is a function of the figures alone: same file, same page. `--check`
writes nothing and fails where the page is not what the figures give.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from bench.analysis import (
    BAR,
    BASELINE,
    MOST_GROWTH,
    REFERENCES,
    STALL_MS,
    Cell,
    Comparison,
    Row,
    Run,
    Soak,
    comparisons,
    rows,
)
from bench.memory_report import remembering
from bench.metrics_report import counting, without_metrics
from bench.recall_report import finding
from bench.tables import table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "overhead.json"
POLICY = ROOT / "bench" / "results" / "policy.json"
RECORDING = ROOT / "bench" / "results" / "recording.json"
SOAK = ROOT / "bench" / "results" / "soak.json"
EMBEDDING = ROOT / "bench" / "results" / "embedding.json"
MEMORY = ROOT / "bench" / "results" / "memory_scale.json"
LOCOMO = ROOT / "bench" / "results" / "locomo.json"
ABSTENTION = ROOT / "bench" / "results" / "abstention.json"
OUTAGE = ROOT / "bench" / "results" / "outage.json"
METRICS = ROOT / "bench" / "results" / "metrics_load.json"
PAGE = ROOT / "docs" / "performance.md"
_FACTS_NOT_VERSIONS = ("date", "cores", "system", "python", "rounds", "requests")
# What the prototype showed that the yardstick repeats (issue 2): added p50, requests/s.
_PROTOTYPE = {
    "bare": ("0.6 ms", "1,150-2,000"),
    "bare_hop": ("1.5-2 ms", "400-1,000"),
}

_HEAD = """\
# Performance

<!-- Written by `bench/report.py` from `bench/results/`; run `make bench` to measure again. -->

What lair adds to a request, and how that compares with the least that a gateway built on the
same libraries could add.
"""

_METHOD = """\
## How it was measured

`bench/overhead.py` starts a stub model server that answers at once, and puts in front of it, each
in processes of their own:

- **the stub, asked directly**: nothing in front, the zero line.
- **bytes passed unread**: an aiohttp front and an aiohttp client with nothing between them. The
  floor under any proxy on aiohttp; it could neither route nor count.
- **bare prototype** (`bench/bare.py`): the least of lair's shape. JSON becomes the typed contract,
  the contract becomes JSON for the model server, and the reply comes back the same way. Nothing
  else: no checks, no choice, no history, no journal, no records, no logs. In one process, and
  *with the hop*: two processes with gRPC between them. aiohttp, grpc.aio and the standard library
  as they come. This is the yardstick.
- **tuned prototype**: the same on uvloop and msgspec, which lair uses too. What is between it and
  lair is the price of all that lair does beyond passing a request on.
- **`lair up`**: gateway and router in one process; memory and metrics in processes of their own.
  Held against the bare prototype in one process.
- **`lair up --separate`**: every service in a process of its own. Held against the bare prototype
  with the hop.
- **`lair up`, default logging**: the same as `lair up`, with a log line for each request; the other
  two are measured at log level `warning`.

lair runs with its defaults otherwise: requests are parsed, checked, routed, journalled to disk and
counted. Memory does nothing for these requests, because they name no conversation.

The client is a closed loop of 1 or 16 connections: each sends its next request when it has the
whole reply. All systems are up the whole time. A round measures each of them once, in an order
that rotates from round to round, with warm-up requests first that do not count. Client, stub and
system share the machine's cores.
"""

_MEANING = """\
## What the figures mean

- **p50, p99**: half, and 99 in 100, of the requests took at most this long, first byte sent to last
  byte received.
- **added**: that, less the same for the stub asked directly in the same round.
- **TTFT**: time to the first `data:` of a stream.
- **share**: chunks/s, as a share of those of the stub asked directly.
- **times worse**: what the system added, divided by what its yardstick added; for rates, the
  yardstick's rate divided by the system's. 1 is as good as the bare prototype. The ratio is taken
  within each round; the table shows the median and, in brackets, the lowest and highest round.
- With 16 at once all cores are busy, and every request waits for the 15 others: the added time is
  then the throughput seen from the other side, not what a single user feels.
- The stub sends a stream at once, as no model does: the figures for streams say how much of them
  a machine can carry. A model of 100 tokens a second uses less than a hundredth of it.

Compare figures within this page only: they come from one run on one machine, and another machine,
or the same one with busy neighbours, gives others. The ratios are what carries over.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/performance.md from the figures.")
    parser.add_argument("--check", action="store_true", help="only fail where the page is stale")
    args = parser.parse_args()
    text = page(read_run(RESULTS)) + choosing(json.loads(POLICY.read_text(encoding="utf-8")))
    text += recording(json.loads(RECORDING.read_text(encoding="utf-8")))
    text += soaking(msgspec.json.decode(SOAK.read_bytes(), type=Soak))
    text += embedding(json.loads(EMBEDDING.read_text(encoding="utf-8")))
    text += remembering(json.loads(MEMORY.read_text(encoding="utf-8")))
    if LOCOMO.is_file() and ABSTENTION.is_file():
        text += finding(json.loads(LOCOMO.read_bytes()), json.loads(ABSTENTION.read_bytes()))
    if METRICS.is_file():
        text += counting(json.loads(METRICS.read_text(encoding="utf-8")))
    if OUTAGE.is_file():
        text += without_metrics(json.loads(OUTAGE.read_text(encoding="utf-8")))
    if not args.check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print("docs/performance.md is stale: run `python bench/report.py`", file=sys.stderr)
    return 1


def read_run(path: Path) -> Run:
    """Read the figures that bench/overhead.py wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def page(run: Run) -> str:
    """Return the page for a run."""
    sections = [_HEAD, _verdict(run), _METHOD, _machine(run), _figures(run), _bar(run), _MEANING]
    return "\n".join(section for section in sections if section)


def _verdict(run: Run) -> str:
    """Say in a few sentences what a single user pays, and where the bar is missed."""
    sentences = [
        f"With one request at a time, `lair up` adds {row.added_p50_ms:.2f} ms to "
        f"{_one_reply(cell)} (median)."
        for cell in run.cells
        for row in rows(cell)
        if cell.concurrency == 1 and row.system == "lair"
    ]
    every = [found for cell in run.cells for found in comparisons(cell)]
    met = sum(found.met for found in every)
    if every:
        sentences.append(
            f"{met} of {len(every)} comparisons with the bare prototype stay within the bar of "
            f"{BAR:g} times."
        )
    for name, reason in run.missing.items():
        sentences.append(f"Not measured: {run.titles[name]}; {reason}.")
    return "\n".join(sentences) + "\n"


def _one_reply(cell: Cell) -> str:
    return f"a stream of {cell.chunks} chunks" if cell.chunks else "a whole reply"


def _machine(run: Run) -> str:
    facts = run.facts
    versions = ", ".join(f"{k} {v}" for k, v in facts.items() if k not in _FACTS_NOT_VERSIONS)
    return (
        f"Measured on {facts['date']}: {facts['rounds']} rounds of {facts['requests']} requests on "
        f"{facts['cores']} cores,\n{facts['system']}, Python {facts['python']}; {versions}.\n"
    )


def _figures(run: Run) -> str:
    parts = ["## Figures\n\nMedians over the rounds; times in milliseconds.\n"]
    for cell in run.cells:
        parts.append(f"### {_capitalised(cell.title)}\n")
        parts.append(_cell_table(cell, run.titles))
    return "\n".join(parts)


def _cell_table(cell: Cell, titles: dict[str, str]) -> str:
    columns = _STREAM_COLUMNS if cell.chunks else _WHOLE_COLUMNS
    lines = [(titles[row.system], *(show(row) for show in columns.values())) for row in rows(cell)]
    return table(("", *columns), lines)


def _bar(run: Run) -> str:
    every = [(cell, found) for cell in run.cells for found in comparisons(cell)]
    text = (
        f"## Against the yardstick\n\nThe bar: at most {BAR:g} times worse than the bare prototype "
        "in the same run.\n"
    )
    if not every:
        return text + "\nNothing to compare: lair was not measured.\n"
    lines = [
        (run.titles[found.system], cell.title, found.measure, _times(found), _met(found))
        for cell, found in every
    ]
    compared = table(("", "load", "measure", "times worse", "bar"), lines)
    return f"{text}\n{compared}\n{_misses(run, every)}\n{_references(run)}{_yardstick(run)}"


def _references(run: Run) -> str:
    """Hold lair against the tuned prototype, which no bar is set for."""
    lines = [
        (run.titles[found.system], cell.title, found.measure, _times(found))
        for cell in run.cells
        for found in comparisons(cell, REFERENCES)
    ]
    if not lines:
        return ""
    compared = table(("", "load", "measure", "times worse"), lines)
    return f"Against the tuned prototype, for which no bar is set:\n\n{compared}\n"


def _misses(run: Run, every: Iterable[tuple[Cell, Comparison]]) -> str:
    """Count what is over the bar, and name what is furthest over it."""
    over = [
        (found.times.median, cell, found)
        for cell, found in every
        if found.times is not None and not found.met
    ]
    if not over:
        return "The bar is met in every comparison that could be made.\n"
    _, cell, found = max(over, key=lambda each: each[0])
    return (
        f"Not met: {len(over)}. Furthest from it: {run.titles[found.system]}, {cell.title}: "
        f"{found.measure}, {_times(found)} times.\n"
    )


def _yardstick(run: Run) -> str:
    """Show the yardstick beside the figures of the prototype it repeats."""
    added: dict[str, str] = {}
    rate: dict[str, str] = {}
    for cell in run.cells:
        for row in rows(cell):
            if (cell.concurrency, cell.chunks) == (1, 0):
                added[row.system] = f"{row.added_p50_ms:.2f} ms"
            if not cell.chunks and cell.concurrency > 1:
                rate[row.system] = f"{row.requests_per_s:,.0f}"
    lines = [
        (run.titles[name], before[0], added.get(name, "-"), before[1], rate.get(name, "-"))
        for name, before in _PROTOTYPE.items()
    ]
    head = (
        "",
        "added p50 then",
        "added p50 here",
        "requests/s then",
        "requests/s here, 16 at once",
    )
    return (
        "The bar was set with an earlier prototype of this shape. Its figures, beside those of the "
        "yardstick\nin this run: where the yardstick is faster, lair has to be faster too.\n\n"
        + table(head, lines)
    )


def choosing(result: dict[str, Any]) -> str:
    """Return the section on what `bench/policy.py` found."""
    lines = [(what, f"{ms * 1000:.1f}") for what, ms in result["ms"].items()]
    return (
        "\n## Choosing and queueing\n\n"
        f"With {result['backends']} backends of {result['models']} models each "
        "(`bench/policy.py`), the policy and a free\nqueue add "
        f"{result['added_ms'] * 1000:.0f} µs to a request; the bar is 200 µs.\n\n"
        + table(("", "µs"), lines)
    )


def recording(result: dict[str, Any]) -> str:
    """Return the section on what `bench/recording.py` found."""
    lines = [
        (what, f"{taken['p50_us']:.1f}", f"{taken['p99_us']:.1f}")
        for what, taken in result["figures"].items()
    ]
    return (
        "\n## Recording\n\n"
        "Before the client sees the end of its answer, the request's record is made, journalled, "
        "told to\nwho watches and counted (`bench/recording.py`): half of the time within "
        f"{result['worst_p50_us']:.0f} µs; the bar is {result['limit_us']:.0f} µs.\n\n"
        + table(("", "p50, µs", "p99, µs"), lines)
    )


def soaking(soak: Soak) -> str:
    """Return the section on what `bench/soak.py` found."""
    lines = [
        (what, f"{own:.4g}", f"{idle:.4g}")
        for what, own, idle in (
            ("latest wake-up, ms", soak.late_max_ms, soak.idle_loop_late_max_ms),
            ("latest of a second, median, ms", soak.late_p50_ms, soak.idle_loop_late_p50_ms),
            ("longest held, ms", soak.held_max_ms, soak.idle_loop_held_max_ms),
            (f"times held for more than {STALL_MS:.0f} ms", soak.stalls, soak.idle_loop_stalls),
        )
    ]
    lines.append(("memory, MB", f"{soak.rss_begin_mb:.0f} to {soak.rss_end_mb:.0f}", "-"))
    steady, smooth = ("met" if bar else "**not met**" for bar in (soak.steady, soak.smooth))
    return (
        "\n## Many streams for long\n\n"
        f"{soak.idle_streams} streams that say a word every 20 s and {soak.active_streams} that "
        "say one every 50 ms, on one process of\ngateway and router, for "
        f"{soak.seconds:.0f} s after a warm-up (`bench/soak.py`); {soak.requests:,} streams began "
        f"and\nended in that time. Memory may grow by {MOST_GROWTH:.0%}: {steady} "
        f"({soak.growth:+.1%}). The event loop may\nnot be held for more than {STALL_MS:.0f} ms, "
        f"or twice as long as an idle one beside it: {smooth}. Held\nis how late a wake-up was, "
        "less what it waited for a core.\n\n" + table(("", "lair", "an idle event loop"), lines)
    )


def embedding(result: dict[str, Any]) -> str:
    """Return the section on what `bench/embedding.py` found."""
    measures = {
        "process start to first answer, s": ("first_s", ".1f"),
        "question, p50, ms": ("p50_ms", ".1f"),
        "question, p95, ms": ("p95_ms", ".1f"),
        "turns/s": ("texts_per_s", ".0f"),
        "memory when ready, MB": ("ready_mb", ".0f"),
        "memory after the turns, MB": ("after_mb", ".0f"),
    }
    runtimes = result["runtimes"]
    lines = [
        (what, *(format(runtimes[runtime][key], form) for runtime in ("auto", "torch")))
        for what, (key, form) in measures.items()
    ]
    agreement = result["agreement"]
    return (
        "\n## Embedding\n\n"
        "The default model through memory_svc's embedder (`bench/embedding.py`), a question at a "
        "time and turns of\n5 to 60 words 32 at a time. Its export to eight-bit numbers, at the "
        f"first start, took {result['export_s']:.0f} s in a\nprocess of its own; its vectors and "
        f"torch's have cosines of {agreement['mean']:.3f} on average and "
        f"{agreement['least']:.3f} at least.\n\n"
        + table(("", "exported, onnxruntime", "torch"), lines)
    )


def _times(found: Comparison) -> str:
    if found.times is None:
        return "no ratio"
    return f"{found.times.median:.2f} ({found.times.low:.2f}-{found.times.high:.2f})"


def _met(found: Comparison) -> str:
    if found.times is None:
        return "the yardstick added nothing"
    return "met" if found.met else "**not met**"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _added(value: float | None, row: Row) -> str:
    return "-" if value is None or row.system == BASELINE else f"{value:.2f}"


def _optional(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


_WHOLE_COLUMNS: dict[str, Callable[[Row], str]] = {
    "p50": lambda row: f"{row.p50_ms:.2f}",
    "p99": lambda row: f"{row.p99_ms:.2f}",
    "added p50": lambda row: _added(row.added_p50_ms, row),
    "added p99": lambda row: _added(row.added_p99_ms, row),
    "requests/s": lambda row: f"{row.requests_per_s:,.0f}",
}
_STREAM_COLUMNS: dict[str, Callable[[Row], str]] = {
    **_WHOLE_COLUMNS,
    "added TTFT": lambda row: _added(row.added_ttft_ms, row),
    "chunks/s": lambda row: _optional(row.chunks_per_s, ",.0f"),
    "share": lambda row: _optional(row.chunk_share, ".1%"),
}


if __name__ == "__main__":
    sys.exit(main())
