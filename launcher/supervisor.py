"""Keep child processes running: start in stages, restart with back-off, stop in reverse.

It knows nothing of lair's services: a `Child` is a name, a command line and a way
to tell that it is ready. A child that dies is started again, except when it says
at its start, by exit code 78, that somebody has to change something first.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from launcher.exits import EX_CONFIG, RefusedError
from svckit.lifecycle import SUPERVISED_VARIABLE
from svckit.logging import get_logger

log = get_logger(__name__)

Probe = Callable[[], Awaitable[bool]]
"""Asks a child once whether it is ready; it limits its own time."""

_STDERR = 2


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running.

    `stop_seconds` is its time between SIGTERM and SIGKILL; `reloads` says that it reads
    its settings again at SIGHUP.
    """

    name: str
    argv: tuple[str, ...]
    ready: Probe
    stop_seconds: float = 10.0
    reloads: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient a supervisor is, in seconds.

    A restart waits `first_delay`, doubling up to `longest_delay`, until a life of
    `steady_life`. The next stage starts after `stage_patience` even if the one
    before is not ready.
    """

    first_delay: float = 0.2
    longest_delay: float = 10.0
    steady_life: float = 30.0
    stage_patience: float = 10.0
    poll: float = 0.05


class ChildRefusedError(RefusedError):
    """A child ended at its start with exit code 78; its own line says why."""


class Supervisor:
    """Runs stages of children until `stop` is set; `kill` cuts the stopping short.

    It sets `stop` itself when a child refuses to start.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Child]],
        *,
        environment: Mapping[str, str],
        timing: Timing | None = None,
    ) -> None:
        self.stop = asyncio.Event()
        self.kill = asyncio.Event()
        self.timing = timing or Timing()
        environment = {**environment, SUPERVISED_VARIABLE: "1"}
        self._stages = [[_Keeper(child, environment, self) for child in stage] for stage in stages]

    async def run(self, on_ready: Callable[[], Awaitable[None]] | None = None) -> None:
        """Start the stages, call `on_ready` once the last is ready, stop them when asked.

        Raises `ChildRefusedError` after every other child has been stopped.
        """
        async with asyncio.TaskGroup() as tasks:
            try:
                for stage in self._stages:
                    for keeper in stage:
                        tasks.create_task(keeper.keep())
                    await self._wait_ready(stage, last=stage is self._stages[-1])
                if on_ready and not self.stop.is_set():
                    await on_ready()
                await self.stop.wait()
            finally:
                self.stop.set()
                for stage in reversed(self._stages):
                    await asyncio.gather(*(keeper.end() for keeper in stage))
        if refused := [k.name for stage in self._stages for k in stage if k.refused]:
            names = " and ".join(refused)
            raise ChildRefusedError(f"{names} could not start; the lines above say why")

    def reload(self) -> None:
        """Have the children that can do so read their settings again."""
        log.info("reloading")
        for stage in self._stages:
            for keeper in stage:
                keeper.reload()

    async def _wait_ready(self, stage: Sequence[_Keeper], *, last: bool) -> None:
        deadline = monotonic() + self.timing.stage_patience
        for keeper in stage:
            patience = None if last else deadline - monotonic()
            await any_of(keeper.ready, self.stop, seconds=patience)
            if not keeper.ready.is_set() and not self.stop.is_set():
                log.warning("not ready yet; starting the rest without it", child=keeper.name)


class _Keeper:
    """Keeps one child running; the only one that waits for its process."""

    def __init__(self, child: Child, environment: Mapping[str, str], owner: Supervisor) -> None:
        self.name = child.name
        self.ready = asyncio.Event()
        self.refused = False
        self._child = child
        self._environment = environment
        self._owner = owner
        self._process: asyncio.subprocess.Process | None = None
        self._started = False
        self._serving = False
        self._reload_due = False
        self._ended = asyncio.Event()

    async def keep(self) -> None:
        """Run the child again and again until the supervisor stops."""
        self._started = True
        try:
            await self._keep()
        finally:
            self._ended.set()

    def reload(self) -> None:
        """Send SIGHUP, to a child that starts once it is ready: before, it would die of it."""
        if not self._child.reloads:
            return
        if self._serving:
            self._signal(signal.SIGHUP)
        else:
            self._reload_due = True

    async def end(self) -> None:
        """Ask the child to end, and kill it when its time is over."""
        if not self._started:
            return
        self._signal(signal.SIGTERM)
        await any_of(self._ended, self._owner.kill, seconds=self._child.stop_seconds)
        if not self._ended.is_set():
            log.warning("child does not end; killing it", child=self.name)
            self._signal(signal.SIGKILL)
            await self._ended.wait()

    async def _keep(self) -> None:
        timing = self._owner.timing
        delay = timing.first_delay
        while not self._owner.stop.is_set():
            born = monotonic()
            code = await self._live()
            if self._owner.stop.is_set():
                return
            if code == EX_CONFIG and not self.ready.is_set():
                self.refused = True
                self._owner.stop.set()
                return
            if monotonic() - born >= timing.steady_life:
                delay = timing.first_delay
            log.warning(
                "child ended; starting it again",
                child=self.name,
                exit_code=code,
                after_seconds=delay,
            )
            await any_of(self._owner.stop, seconds=delay)
            delay = min(2 * delay, timing.longest_delay)

    async def _live(self) -> int:
        """Run the child once; return its exit code."""
        self._process = await asyncio.create_subprocess_exec(
            *self._child.argv,
            env=self._environment,
            # Its end tells the child that this process is gone, even after kill -9.
            stdin=asyncio.subprocess.PIPE,
            # Standard output is for the one screen of `lair up`.
            stdout=_STDERR,
            # Ctrl-C in a terminal reaches a whole session; the order of stopping is ours.
            start_new_session=True,
        )
        if self._owner.stop.is_set():
            self._signal(signal.SIGTERM)
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self._watch())
            code = await self._process.wait()
            self._serving = False
            watch.cancel()
        return code

    async def _watch(self) -> None:
        while not self._serving:
            if await self._child.ready():
                self._serving = True
                self.ready.set()
            else:
                await asyncio.sleep(self._owner.timing.poll)
        if self._reload_due:
            self._reload_due = False
            self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):  # it ended just now
            if number is signal.SIGKILL:
                os.killpg(process.pid, number)  # with whatever it started
            else:
                process.send_signal(number)


async def any_of(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Return once one of `events` is set, or `seconds` are over."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
