"""`lair up`: all services, kept running until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from enum import Enum

from launcher import children, screen
from launcher.addresses import listening, require_free
from launcher.ask import UnreachableError, get
from launcher.configuration import Resolved, adopt, make_data_dir
from launcher.report import Report, read
from launcher.supervisor import Supervisor, any_of
from svckit.hangup import on_hangup
from svckit.lifecycle import run
from svckit.logging import configure_logging, get_logger
from svckit.settings import Settings

log = get_logger(__name__)

_HEALTH_SECONDS = 5.0


class Layout(Enum):
    """Which services share a process."""

    EDGE = "gateway and router together, memory and metrics apart"
    SEPARATE = "each apart"
    SINGLE = "all together"


def up(resolved: Resolved, layout: Layout) -> None:
    """Run lair until a signal. Raises `RefusedError` where it cannot start."""
    settings = resolved.settings
    configure_logging("lair", level=settings.log_level, fmt=settings.log_format)
    make_data_dir(settings.data_dir)
    if settings.backends:  # else nothing can be wrong with them, and start-up is faster
        from router_svc.main import check as check_backends  # noqa: PLC0415  # loads the router

        check_backends(settings)
    require_free(listening(settings))
    if layout is Layout.SINGLE:
        adopt(resolved)
        run(_in_one_process(resolved))
    else:
        run(_in_children(resolved, layout))


async def _in_children(resolved: Resolved, layout: Layout) -> None:
    plan = children.separate if layout is Layout.SEPARATE else children.with_edge
    supervisor = Supervisor(plan(resolved.settings), environment=resolved.environment)
    _on_signals(supervisor.stop, supervisor.kill.set)
    on_hangup(supervisor.reload)

    async def on_ready() -> None:
        await _show(resolved.settings)

    await supervisor.run(on_ready)


async def _in_one_process(resolved: Resolved) -> None:
    """Run the services here; the llama.cpp server, if any, is a child all the same."""
    from launcher.single import everything  # noqa: PLC0415  # loads every service

    settings = resolved.settings
    stop = asyncio.Event()
    _on_signals(stop, _die)
    llamacpp = children.llamacpp(settings)
    supervisor = Supervisor([llamacpp] if llamacpp else [], environment=resolved.environment)
    ready = asyncio.Event()

    async def on_ready() -> None:
        ready.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run(on_ready))
        await any_of(ready, stop, seconds=supervisor.timing.stage_patience)
        try:
            async with everything(settings):
                await _show(settings)
                await stop.wait()
        finally:
            supervisor.stop.set()


def _on_signals(stop: asyncio.Event, at_once: Callable[[], None]) -> None:
    """Set `stop` at the first SIGTERM or SIGINT, call `at_once` at the next."""

    def on_signal() -> None:
        if stop.is_set():
            log.info("stopping at once")
            at_once()
        else:
            log.info("stopping; once more to stop at once")
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


def _die() -> None:
    """End this process as SIGTERM does to who does not handle it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


async def _show(settings: Settings) -> None:
    screen.show(settings, await asyncio.to_thread(_report, settings))


def _report(settings: Settings) -> Report | None:
    try:
        return read(get(settings, "/health", seconds=_HEALTH_SECONDS).json())
    except UnreachableError:
        return None
