"""The sections of docs/performance.md on bench/metrics_load.py and bench/outage.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.tables import table

# What is asked of metrics_svc (issue 6).
MOST_REPORT_MS, LEAST_ROWS, MOST_BYTES, MOST_MONTH_MB = 150.0, 10_000, 180.0, 60.0

_METHOD = """\
`bench/metrics_load.py` makes up {days} days of 10,000 requests each (`bench/metrics_history.py`:
agents, chats and workflows of four people on seven models and three backends, with failures,
moves to another backend and repetitions), {rows:,} in all, and loads them through metrics_svc's
store, 1000 at a time. Reports are asked one after the other over gRPC, as the gateway does, and
sums that charts are made of of the store itself; times are in milliseconds. Last, {ingest:,} more
requests are sent over gRPC, 1000 at a time and two batches at once, while one report after the
other is asked.
"""


def counting(result: dict[str, Any]) -> str:
    """Return the section."""
    parts = ["\n## A year of metrics\n", _method(result), _machine(result), _bars(result)]
    return "\n".join([*parts, _reports(result)])


def _method(result: dict[str, Any]) -> str:
    return _METHOD.format(days=result["days"], rows=result["rows"], ingest=result["ingest_rows"])


def _machine(result: dict[str, Any]) -> str:
    facts = result["facts"]
    return (
        f"Measured on {facts['date']} on {facts['cores']} cores, {facts['system']}, Python "
        f"{facts['python']}, with a load of {facts['load']:g} before.\n"
    )


def _bars(result: dict[str, Any]) -> str:
    slowest = max(result["alone"], key=lambda times: times["p95_ms"])
    lines = (
        _line("bytes a request, all indexes and sums", result["bytes_per_row"], MOST_BYTES),
        _line("MB a month of 10,000 requests a day", result["month_mb"], MOST_MONTH_MB),
        _line(
            f"p95 of the slowest report ({slowest['report']}), ms",
            slowest["p95_ms"],
            MOST_REPORT_MS,
        ),
        _line(
            "requests/s while reports are asked",
            result["ingest_rows_per_s"],
            LEAST_ROWS,
            least=True,
        ),
    )
    return table(("", "found", "bar", "met"), lines)


def _line(what: str, found: float, bar: float, *, least: bool = False) -> tuple[str, ...]:
    met = found >= bar if least else found <= bar
    asked = f"at least {bar:,.0f}" if least else f"at most {bar:,.0f}"
    return what, f"{found:,.0f}", asked, "yes" if met else "**no**"


def _reports(result: dict[str, Any]) -> str:
    during = {times["report"]: times for times in result["during_ingest"]}
    head = ("", "p50", "p95", "p50 during ingest", "p95 during ingest")
    return table(head, (_report(times, during) for times in result["alone"]))


def _report(times: dict[str, Any], during: dict[str, Any]) -> tuple[str, ...]:
    beside = during.get(times["report"])
    return (times["report"], *_shown(times), *(_shown(beside) if beside else ("-", "-")))


def _shown(times: dict[str, Any]) -> Iterable[str]:
    return f"{times['p50_ms']:.1f}", f"{times['p95_ms']:.1f}"


_OUTAGE = """
## When metrics is away

`bench/outage.py` kills metrics_svc while requests go on, and starts it again. What is answered
meanwhile waits in the router's journal, on disk. The second time the journal is as small as can be
configured (`router.spool_mb`), and cannot hold it all: the oldest records are dropped and counted
(`lair_outbox_dropped_total`).

"""
_OUTAGE_ROWS = {
    "seconds": "seconds without metrics",
    "answered": "requests answered",
    "refused": "requests refused",
    "most_journal_kb": "most in the journal, kB",
    "counted": "counted in the end",
    "doubled": "counted twice",
    "dropped": "told to be dropped",
    "lost": "neither counted nor told",
}


def without_metrics(outages: list[dict[str, Any]]) -> str:
    """Return the section on what bench/outage.py found."""
    head = ("", *(f"journal of {outage['spool_mb']} MB" for outage in outages))
    lines = (
        (title, *(f"{each[name]:,}" for each in outages)) for name, title in _OUTAGE_ROWS.items()
    )
    return _OUTAGE + table(head, lines)
