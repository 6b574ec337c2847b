"""Measure what recording costs a request: `python -m bench.recording`.

All that stands between the end of an answer and the client's seeing it: the record is made,
journalled to disk, told to who watches, and counted. Three ways: as it is by default; with a
watcher, and so a collector, to be told; and a cancelled stream, whose tokens are estimated.
The yardstick of the same run is one JSON round trip of a small chat completion. Prints a
table and writes bench/results/recording.json; fails where recording takes longer than it may.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

from rich.console import Console
from rich.table import Table

from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import Message, Usage
from lair.metrics.v1.usage_pb2 import STATUS_OK
from lair.router.v1.chat_pb2 import ChatCall, ChatEvent, Completed, Delta, Finish
from router_svc.life import Ledger, Life
from svckit.outbox import Outbox

RESULTS = Path(__file__).parent / "results" / "recording.json"
ROUNDS, CALLS, PIECES = 25, 400, 50
LIMIT_US = 50.0
_CALL = ChatCall(
    request_id="0190163d-8694-739b-aea5-966c26f8ad91",
    model="qwen3:8b",
    messages=[Message(role="user", text="How are you today? " * 20)],
    endpoint="/v1/chat/completions",
    caller=Caller(user_id="ann", project="sea", session_id="s", client="codex", key_id="k"),
)
_DELTAS = [[ChatEvent(delta=Delta(text=" word"))] for _ in range(PIECES)]
_FINISH = ChatEvent(finish=Finish(reason="stop"))
_USAGE = Usage(prompt_tokens=90, completion_tokens=PIECES, total_tokens=90 + PIECES)
_END = [_FINISH, ChatEvent(completed=Completed(usage=_USAGE))]


async def _deliver(_: list[bytes]) -> None:
    """Take everything: nobody drains here."""


def main() -> int:
    sample = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 200}]})
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        outbox = Outbox(
            "bench",
            Path(folder) / "records",
            _deliver,
            batch_size=10**9,
            limit_bytes=2**30,
            linger_seconds=1,
        )
        stack.callback(outbox.close)
        ledger, watched = (Ledger(outbox, count=True, default_user="local") for _ in range(2))
        stack.enter_context(watched.live.news.watch())
        cases: dict[str, Callable[[], float]] = {
            "one JSON round trip (yardstick)": lambda: _timed(lambda: json.loads(sample)),
            "record an answer": lambda: _recorded(ledger, usage=True),
            "record it, with a watcher": lambda: _recorded(watched, usage=True),
            "record half an answer, estimated": lambda: _recorded(ledger, usage=False),
        }
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, case in cases.items():
                times[name] += [case() for _ in range(CALLS)]
    figures = {
        name: {"p50_us": median(taken), "p99_us": quantiles(taken, n=100)[98]}
        for name, taken in times.items()
    }
    worst = max(it["p50_us"] for name, it in figures.items() if name.startswith("record"))
    result = {"figures": figures, "worst_p50_us": worst, "limit_us": LIMIT_US}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _print(figures, worst)
    return int(worst >= LIMIT_US)


def _timed(work: Callable[[], object]) -> float:
    """Return how long `work` takes, in microseconds."""
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e6


def _recorded(ledger: Ledger, *, usage: bool) -> float:
    """Bring a streamed chat to its end; return how long its recording took."""
    with Life(_CALL, ledger, streamed=True) as life:
        trace = life.trace
        trace.begin_attempt("3090", "qwen3:8b", local=True)
        for events in _DELTAS:
            trace.events(events)
        trace.end_attempt(STATUS_OK, http_status=200)
        if usage:
            trace.events(_END)
        return _timed(life.journal)


def _print(figures: dict[str, dict[str, float]], worst: float) -> None:
    table = Table(title=f"Recording a streamed answer of {PIECES} pieces")
    for head in ("what", "p50 µs", "p99 µs"):
        table.add_column(head, justify="left" if head == "what" else "right")
    for name, taken in figures.items():
        table.add_row(name, f"{taken['p50_us']:.1f}", f"{taken['p99_us']:.1f}")
    console = Console()
    console.print(table)
    verdict = "within" if worst < LIMIT_US else "OVER"
    console.print(f"recording costs a request {worst:.0f} µs: {verdict} {LIMIT_US:.0f} µs")


if __name__ == "__main__":
    sys.exit(main())
