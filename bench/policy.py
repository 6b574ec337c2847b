"""Measure what choosing and queueing cost a request: `python bench/policy.py`.

A catalogue of 20 backends with 50 models each, as large as a house gets; one request
named, one `auto`. The yardstick of the same run is one JSON round trip of a small chat
completion, so that the figures say something on any machine. Prints a table and
writes bench/results/policy.json.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall
from router_svc.line import Priority
from router_svc.model import AUTO, BackendView, ServedModel, Snapshot, Standing, State
from router_svc.policy import Catalogue, Wish, choose
from router_svc.prompt import chat_prompt
from router_svc.queue import Ask, DeviceQueue, QueueLimits
from router_svc.tokens import TokenEstimator
from router_svc.wishes import wish_of

RESULTS = Path(__file__).parent / "results" / "policy.json"
BACKENDS, MODELS, ROUNDS, CALLS = 20, 50, 15, 400
LIMIT_MS = 0.2
# Of about 1,500 tokens, near enough to the windows that each of them has it measured.
_TURNS = [Message(role=role, text="word " * 120) for role in ("user", "assistant") * 5]
_CHATS = {model: ChatCall(model=model, messages=_TURNS) for model in (AUTO, "b7/m7-3")}
_ESTIMATOR = TokenEstimator()


def main() -> None:
    known = _catalogue()
    sample = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 200}]})
    cases: dict[str, Callable[[], object]] = {
        "one JSON round trip (yardstick)": lambda: json.dumps(json.loads(sample)),
        "choose a named model": lambda: choose(_wish("b7/m7-3"), known),
        "choose auto": lambda: choose(_wish(AUTO), known),
        "enter and leave a free queue": _queue_case(),
    }
    rounds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            begin = time.perf_counter()
            for _ in range(CALLS):
                case()
            rounds[name].append((time.perf_counter() - begin) / CALLS * 1000)
    figures = {name: median(times) for name, times in rounds.items()}
    worst = max(figures["choose a named model"], figures["choose auto"])
    added = worst + figures["enter and leave a free queue"]
    _print(figures, added)
    result = {"backends": BACKENDS, "models": MODELS, "ms": figures, "added_ms": added}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _wish(model: str) -> Wish:
    """Wish for a model, as a chat of some turns does whose tokens are estimated anew."""
    chat = _CHATS[model]
    return wish_of(chat, ("b3", "m3-0"), chat_prompt(chat, _ESTIMATOR))


def _catalogue() -> Catalogue:
    views = [
        BackendView(
            name=f"b{number}",
            local=number % 2 == 0,
            priority=number % 3,
            snapshot=Snapshot(
                State.UP,
                tuple(ServedModel(id=f"m{number}-{m}", context_length=2048) for m in range(MODELS)),
            ),
        )
        for number in range(BACKENDS)
    ]
    standings = {"b1": Standing(resting="failed repeatedly"), "b2": Standing("", "", 3.0)}
    return Catalogue(views, standings, {"small": ("b4/m4-0", "b5/m5-0")})


def _queue_case() -> Callable[[], None]:
    queue = DeviceQueue("gpu", slots=4, limits=QueueLimits(64, 600))
    ask = Ask("key", Priority.INTERACTIVE)
    loop = asyncio.new_event_loop()

    async def enter() -> None:
        with queue.enter(ask) as place:
            await place.admitted()

    return lambda: loop.run_until_complete(enter())


def _print(figures: dict[str, float], added: float) -> None:
    table = Table(title=f"{BACKENDS} backends with {MODELS} models each")
    table.add_column("what")
    table.add_column("µs", justify="right")
    for name, ms in figures.items():
        table.add_row(name, f"{ms * 1000:.1f}")
    console = Console()
    console.print(table)
    verdict = "within" if added < LIMIT_MS else "OVER"
    console.print(f"policy and queue add {added * 1000:.0f} µs: {verdict} {LIMIT_MS * 1000:.0f} µs")


if __name__ == "__main__":
    main()
