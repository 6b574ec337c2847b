"""SIGHUP, which says two things: read your settings again, and: your terminal is gone.

What somebody started in a terminal ends with it, as they expect; a service that has no
terminal, or still has it, reloads.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Collection, Sequence


def on_hangup(reload: Callable[[], None]) -> None:
    """Call `reload` at each SIGHUP, but stop as SIGTERM does where the terminal closed.

    Raises `RuntimeError` or `ValueError` outside of the main thread.
    """
    before = terminals()
    loop = asyncio.get_running_loop()

    def hung_up() -> None:
        if not closed(before):
            reload()
            return
        let_go(before)
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a shell says it after the system did
        signal.raise_signal(signal.SIGTERM)

    loop.add_signal_handler(signal.SIGHUP, hung_up)


def terminals(descriptors: Collection[int] = (0, 1, 2)) -> tuple[int, ...]:
    """Return those of this process' descriptors that are a terminal."""
    return tuple(filter(os.isatty, descriptors))


def closed(before: Sequence[int]) -> bool:
    """Tell whether what was a terminal is none any more."""
    return bool(before) and not any(map(os.isatty, before))


def let_go(before: Sequence[int]) -> None:
    """Point what was a terminal to nowhere if it closed: a log line to it would fail."""
    if not closed(before):
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in before:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
