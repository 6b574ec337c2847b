"""Which backends there are, how they are, and what they serve.

Configured backends stay for good; discovered ones come and go. A task asks all of
them again every `probe_seconds`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from router_svc.backends.base import Backend
from router_svc.backends.discovery import discover
from router_svc.model import BackendView, Snapshot, State, UpstreamError
from svckit.logging import get_logger

log = get_logger(__name__)

_FRESH_SECONDS = 1.0
_AWAY_SECONDS = 2.0


class Catalog:
    """The backends; `watch()` keeps them up to date."""

    def __init__(
        self, backends: Sequence[Backend], *, probe_seconds: float, discover_ports: Sequence[int]
    ) -> None:
        self._backends: dict[str, Backend] = {backend.name: backend for backend in backends}
        self._found: set[str] = set()
        self._snapshots: dict[str, Snapshot] = {}
        self._in_flight: dict[str, int] = {}
        self._probe_seconds = probe_seconds
        self._ports = discover_ports
        self._lock = asyncio.Lock()
        self._looked = 0.0
        self._views: tuple[BackendView, ...] = ()

    def backend(self, name: str) -> Backend:
        """Return the backend called `name`. Raises `UpstreamError` where it went meanwhile."""
        if name not in self._backends:
            raise UpstreamError("UPSTREAM_FAILED", "its server is gone")
        return self._backends[name]

    def backends(self) -> list[tuple[Backend, Snapshot, int]]:
        """Return every backend, how it is, and the requests it works on for lair."""
        return [
            (backend, self._snapshot(name), self._in_flight.get(name, 0))
            for name, backend in self._backends.items()
        ]

    def views(self) -> tuple[BackendView, ...]:
        """Return what choosing needs to know, in the order of the configuration."""
        return self._views

    def begin(self, name: str) -> None:
        """Count a request that `name` works on."""
        self._in_flight[name] = self._in_flight.get(name, 0) + 1

    def end(self, name: str, error: str = "", *, down: bool = False) -> None:
        """Count it as over; an `error` is remembered, and with `down` at once acted on."""
        self._in_flight[name] -= 1
        if error and name in self._snapshots:
            before = self._snapshots[name]
            state = State.DOWN if down else before.state
            self._snapshots[name] = replace(before, error=error, state=state)
            self._views = tuple(self._view(known) for known in self._backends)

    async def refresh(self, *, if_older: bool = False) -> None:
        """Ask all backends again; with `if_older` only if nobody did within a second."""
        async with self._lock:
            if if_older and time.monotonic() - self._looked < _FRESH_SECONDS:
                return
            urls = [backend.url for backend in self._backends.values()]
            for backend in await discover(self._ports, urls):
                self._backends[backend.name] = backend
                self._found.add(backend.name)
            names = list(self._backends)
            snapshots = await asyncio.gather(*(self._backends[n].probe() for n in names))
            for name, snapshot in zip(names, snapshots, strict=True):
                await self._update(name, snapshot)
            self._looked = time.monotonic()
            self._views = tuple(self._view(name) for name in self._backends)

    async def watch(self) -> None:
        """Refresh for ever; cancel to stop."""
        while True:
            await self.refresh()
            down = any(s.state in (State.DOWN, State.LOADING) for s in self._snapshots.values())
            # Who is away is looked for more often: its owner is waiting for it to come back.
            pause = min(self._probe_seconds, _AWAY_SECONDS) if down else self._probe_seconds
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close every backend's connections."""
        for backend in self._backends.values():
            await backend.close()

    async def _update(self, name: str, snapshot: Snapshot) -> None:
        before = self._snapshot(name).state
        if snapshot.state is not before:
            log.info("backend", backend=name, state=snapshot.state.name, error=snapshot.error)
        if name in self._found and snapshot.state is State.DOWN and not self._in_flight.get(name):
            await self._backends.pop(name).close()
            self._snapshots.pop(name, None)
            self._found.discard(name)
            return
        # A backend that is down is remembered with what it served: it may come back.
        known = self._snapshot(name).models
        self._snapshots[name] = replace(snapshot, models=snapshot.models or known)

    def _snapshot(self, name: str) -> Snapshot:
        return self._snapshots.get(name, Snapshot())

    def _view(self, name: str) -> BackendView:
        backend = self._backends[name]
        return BackendView(
            name=name,
            local=backend.local,
            priority=backend.priority,
            snapshot=self._snapshot(name),
            last_resort=backend.last_resort,
        )
