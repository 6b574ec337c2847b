"""How a process begins and ends: event loop, signals, its supervisor's pipe."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from svckit.hangup import let_go, terminals

SUPERVISED_VARIABLE = "LAIR_SUPERVISED"


async def stop_requested() -> None:
    """Return once this process should end: SIGTERM, SIGINT, or its supervisor is gone.

    A supervised process holds a pipe to its supervisor as standard input; the
    pipe's end means that the supervisor died without a word. SIGHUP ends a process
    too, unless it is there to reload (`svckit.hangup`) or to be ignored (`nohup`).
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    terminal = terminals()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        loop.add_signal_handler(signal.SIGHUP, stop.set)
    supervised = os.environ.get(SUPERVISED_VARIABLE) == "1"
    descriptor = sys.stdin.fileno() if supervised else -1

    def on_pipe() -> None:
        if not os.read(descriptor, 1024):
            loop.remove_reader(descriptor)
            stop.set()

    if supervised:
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, on_pipe)
    _spare_the_collector()
    try:
        await stop.wait()
        let_go(terminal)
    finally:
        if supervised:
            loop.remove_reader(descriptor)


def _spare_the_collector() -> None:
    """Keep the garbage collector from walking over what start-up made, again and again.

    A request makes thousands of short-lived objects and few cycles; a full collection
    over all imported modules in its middle costs tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on uvloop where it exists."""
    try:
        import uvloop  # noqa: PLC0415  # not on every platform
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
