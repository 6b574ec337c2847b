"""The section of docs/performance.md on what bench/memory_scale.py found."""

from __future__ import annotations

from typing import Any

from bench.tables import table

# What is asked of memory_svc (issue 5), at so many turns of one user.
BAR_TURNS, MOST_RECALL_MS, MOST_MB, MOST_START_S = 100_000, 15.0, 450, 3.0
MOST_BYTES, OF_TURNS = 1e9, 600_000

_METHOD = """\
`bench/memory_scale.py` fills databases with made conversations and asks a memory_svc in a process
of its own over gRPC, one question after the other. A turn is one message, of {words} words on
average. Times are in milliseconds. *Search* and *recall* are what these take without embedding the
question, *with embedding* is a recall with it; a user's *first* question also waits for that
user's memory to be loaded. Of the vectors only some are the model's own: the others lie between
two of them, as `bench/memory_filling.py` tells.
"""


def remembering(result: dict[str, Any]) -> str:
    """Return the section."""
    sizes = result["sizes"]
    parts = ["\n## A large memory\n", _METHOD.format(words=sizes[0]["words_per_turn"])]
    parts += [_machine(result), _latencies(sizes)]
    if result["running"]:
        parts.append(_running(result["running"], sizes))
    return "\n".join(parts)


def _machine(result: dict[str, Any]) -> str:
    facts = result["facts"]
    return (
        f"Measured on {facts['date']}: {result['questions']:,} questions a size on "
        f"{facts['cores']} cores, {facts['system']}, Python\n{facts['python']}; the machine's load "
        f"was {facts['load']:g} before.\n"
    )


def _latencies(sizes: list[dict[str, Any]]) -> str:
    head = (
        *("turns", "users", "search p50", "p99", "recall p50", "p99"),
        *("with embedding p50", "p99", "first", "bytes/turn", "MB"),
    )
    lines = [
        (
            *(f"{row['turns']:,}", f"{row['users']:,}"),
            *(
                f"{row[name][percentile]:.1f}"
                for name in ("search_ms", "recall_ms", "recall_with_embedding_ms")
                for percentile in ("p50", "p99")
            ),
            *(f"{row['first_ms']:.0f}", f"{row['bytes_per_turn']:,}", f"{row['rss_mb']}"),
        )
        for row in sizes
    ]
    return table(head, lines)


def _running(running: dict[str, Any], sizes: list[dict[str, Any]]) -> str:
    """Hold the service against what is asked of it."""
    turns, ingest = running["turns"], running["ingest"]
    lines = [
        _line(f"recall p99 at {turns:,} turns of one user, ms", _recall(sizes), MOST_RECALL_MS),
        _line("process start to first recall, s", running["start_to_first_recall_s"], MOST_START_S),
        _line("memory after the questions, MB", running["rss_mb"], MOST_MB),
        _line(f"{OF_TURNS:,} turns, GB", _gigabytes(sizes), MOST_BYTES / 1e9),
    ]
    queue, kept_up = ingest["queue"], ingest["queue"]["end"] <= ingest["messages_per_s"]
    return (
        f"\n`lair memory` with {turns:,} turns of one user:\n\n"
        + table(("", "found", "at most", "bar"), lines)
        + f"\n{ingest['messages_per_s']:g} messages/s came in for {ingest['seconds']:g} s while "
        f"recalls were asked: storing a request took {ingest['append_ms']['p50']:.1f} ms (p99 "
        f"{ingest['append_ms']['p99']:.1f}),\na recall {ingest['recall_ms']['p50']:.1f} ms (p99 "
        f"{ingest['recall_ms']['p99']:.1f}). At most {queue['most']:,} messages waited for their "
        f"vectors, {queue['end']:,} at the end:\n"
        f"{'it keeps up' if kept_up else '**it does not keep up**'}.\n"
    )


def _line(what: str, found: float, most: float) -> tuple[str, str, str, str]:
    return what, f"{found:.4g}", f"{most:g}", "met" if found <= most else "**not met**"


def _recall(sizes: list[dict[str, Any]]) -> float:
    [row] = [row for row in sizes if (row["turns"], row["users"]) == (BAR_TURNS, 1)]
    return float(row["recall_ms"]["p99"])


def _gigabytes(sizes: list[dict[str, Any]]) -> float:
    """Return what so many turns take, at the size of the most there are."""
    largest = max(sizes, key=lambda row: (row["turns"], -row["users"]))
    return float(largest["bytes_per_turn"]) * OF_TURNS / 1e9
