"""A child for the supervisor's tests: writes down what happens to it, ends as a service does.

argv: journal, name, then any of `stubborn` (ignores SIGTERM), `reloads` (listens for SIGHUP)
and `exit=CODE` (ends at once).
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from svckit.lifecycle import run, stop_requested

journal, name, *options = sys.argv[1:]


def note(what: str) -> None:
    with Path(journal).open("a") as file:
        file.write(f"{name} {what} {os.getpid()}\n")


async def live() -> None:
    if "reloads" in options:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, note, "reloads")
    stopped = asyncio.ensure_future(stop_requested())
    await asyncio.sleep(0)  # now it listens for the signal: nobody may send it before "started"
    note("started")
    if "stubborn" in options:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        note("deaf")
    await stopped
    note("stopped")


for option in options:
    if option.startswith("exit="):
        note("started")
        raise SystemExit(int(option.removeprefix("exit=")))
run(live())
