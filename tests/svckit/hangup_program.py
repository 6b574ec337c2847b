"""A process that says what it does at SIGHUP. argv: `reloads`, or nothing."""

from __future__ import annotations

import asyncio
import sys

from svckit.hangup import on_hangup
from svckit.lifecycle import run, stop_requested


def say(what: str) -> None:
    print(what, flush=True)  # noqa: T201  # read by the test


async def main() -> None:
    if "reloads" in sys.argv:
        on_hangup(lambda: say("reloading"))
    waiting = asyncio.ensure_future(stop_requested())
    await asyncio.sleep(0)
    say("ready")
    await waiting
    print("a last line of the log", file=sys.stderr, flush=True)  # noqa: T201  # fails if closed
    say("stopped")


run(main())
