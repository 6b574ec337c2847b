"""Unloads the models of backends that are left alone, once nobody waits for an answer.

A server that works on a request, or is about to, is left to finish it. What does not end
while the caller waits goes on, and is only told by the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from router_svc.backends.base import Backend
from router_svc.backends.unloading import CannotUnloadError, unload, way_to_unload
from router_svc.catalog import Catalog
from router_svc.model import UpstreamError
from svckit.logging import get_logger

log = get_logger(__name__)

# How long the caller is kept waiting for servers that have nothing to finish first.
_PATIENCE_SECONDS = 3.0
# How soon the end of others' requests for the same device is noticed at the latest.
_LOOK_SECONDS = 1.0


class UnloadState(Enum):
    """How the unloading of a backend's models stands."""

    DONE = 1
    PENDING = 2
    UNSUPPORTED = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Unloading:
    """What becomes of a backend's models; `error` says why where it cannot be done."""

    backend: str
    state: UnloadState
    models: tuple[str, ...] = ()
    error: str = ""


class Unloader:
    """Unloads backends of the catalogue; each once at a time."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._running: dict[str, asyncio.Task[Unloading]] = {}

    async def unload(self, backends: Iterable[Backend]) -> list[Unloading]:
        """Begin with all of `backends`; tell how it stands as soon as no more is to be had."""
        asked = {backend.name: self._ask(backend) for backend in backends}
        idle = [
            task
            for name, task in asked.items()
            if isinstance(task, asyncio.Task) and not self._working(name)
        ]
        if idle:
            await asyncio.wait(idle, timeout=_PATIENCE_SECONDS)
        return [_so_far(name, task) for name, task in asked.items()]

    def _ask(self, backend: Backend) -> asyncio.Task[Unloading] | Unloading:
        """Begin, unless there is no way to."""
        try:
            way_to_unload(backend)
        except CannotUnloadError as error:
            return Unloading(backend.name, UnloadState.UNSUPPORTED, error=str(error))
        return self._begin(backend)

    def _begin(self, backend: Backend) -> asyncio.Task[Unloading]:
        task = self._running.get(backend.name)
        if task is None:
            task = self._catalog.standings.leftovers.start(self._run(backend))
            task.add_done_callback(lambda _: self._running.pop(backend.name))
            self._running[backend.name] = task
        return task

    async def _run(self, backend: Backend) -> Unloading:
        name, standings = backend.name, self._catalog.standings
        while self._working(name):
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await standings.next_end(name)
        if not standings.modes.held(name):
            return Unloading(name, UnloadState.DONE)  # it may be chosen again by now
        try:
            # Looked up anew: a reload may have put another in its place, or none.
            models = await unload(self._catalog.backend(name))
        except CannotUnloadError as error:
            return Unloading(name, UnloadState.UNSUPPORTED, error=str(error))
        except UpstreamError as error:
            log.warning("models not unloaded", backend=name, error=error.public_message)
            return Unloading(name, UnloadState.FAILED, error=error.message)
        log.info("models unloaded", backend=name, models=models)
        standings.leftovers.start(self._catalog.refresh())
        return Unloading(name, UnloadState.DONE, models)

    def _working(self, name: str) -> bool:
        """Tell whether a request runs there, or has a place in the line for its device."""
        devices, backends = self._catalog.standings.devices, self._catalog.backends()
        queue = next((devices.of(b) for b, *_ in backends if b.name == name), None)
        if queue is None:
            return False
        running = {b.name: busy for b, _, busy in backends if devices.of(b) is queue}
        # Who is admitted counts as running there only when it was its turn in the event loop.
        about_to = queue.running_count > sum(running.values())
        return bool(running[name] or queue.waiting_count or about_to)


def _so_far(name: str, asked: asyncio.Task[Unloading] | Unloading) -> Unloading:
    if isinstance(asked, Unloading):
        return asked
    return asked.result() if asked.done() else Unloading(name, UnloadState.PENDING)
