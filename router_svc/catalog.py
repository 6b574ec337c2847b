"""Which backends there are, how they are, and what they serve.

Configured backends stay for good; discovered ones come and go. A task asks all of
them again every `probe_seconds`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from router_svc.backends.base import Backend
from router_svc.backends.discovery import discover
from router_svc.model import BackendView, ServedModel, Snapshot, State, UpstreamError
from router_svc.policy import Catalogue
from router_svc.queue import Ask, DeviceQueue
from router_svc.standing import Standings
from svckit.logging import get_logger
from svckit.settings import Capability

log = get_logger(__name__)

_FRESH_SECONDS = 1.0
_AWAY_SECONDS = 2.0


class Catalog:
    """The backends; `watch()` keeps them up to date."""

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        probe_seconds: float,
        discover_ports: Sequence[int],
        standings: Standings,
        aliases: Mapping[str, Sequence[str]],
    ) -> None:
        self.standings = standings
        self.aliases = aliases
        self._backends: dict[str, Backend] = {backend.name: backend for backend in backends}
        self._found: set[str] = set()
        self._retired: list[Backend] = []
        self._snapshots: dict[str, Snapshot] = {}
        self._errors: dict[str, str] = {}
        self._gone = asyncio.Event()  # a request found that a server is
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

    def known(self, ask: Ask) -> Catalogue:
        """Return all that is known when a request is decided about."""
        standings = self.standings.of(self._backends.values(), ask)
        return Catalogue(self._views, standings, self.aliases)

    def queue(self, name: str) -> DeviceQueue:
        """Return the queue of a backend's device. Raises `UpstreamError` as `backend` does."""
        return self.standings.devices.of(self.backend(name))

    def last_error(self, name: str) -> str:
        """Return what went wrong last with a backend, though it may be well again."""
        return self._errors.get(name, "")

    def begin(self, name: str) -> None:
        """Count a request that `name` works on."""
        self._in_flight[name] = self._in_flight.get(name, 0) + 1
        self.standings.begin(name)

    def end(self, name: str, error: UpstreamError | None = None, *, answered: bool = False) -> None:
        """Count it as over; an `error` is remembered, and a server that is gone at once down."""
        self._in_flight[name] -= 1
        if answered:
            self.standings.succeeded(name)
        elif error is None:
            self.standings.ended(name)
        else:
            self.standings.failed(name, error)
            self._note(name, error)

    def _note(self, name: str, error: UpstreamError) -> None:
        self._errors[name] = error.public_message
        before = self._snapshots.get(name)
        if before:
            state = State.DOWN if error.unreachable else before.state
            self._snapshots[name] = replace(before, error=error.public_message, state=state)
            if state is not before.state:
                self._gone.set()
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
            self.standings.devices.resize(
                (b, self._snapshot(b.name)) for b in self._backends.values()
            )
            self._views = tuple(self._view(name) for name in self._backends)

    async def configure(
        self, backends: Sequence[Backend], aliases: Mapping[str, Sequence[str]]
    ) -> list[str]:
        """Take over a new configuration; return the names that are gone.

        What runs on a backend that is gone runs on: it is closed at the end.
        """
        async with self._lock:
            old = self._backends
            found = {name: old[name] for name in self._found}
            self._backends = {backend.name: backend for backend in backends} | found
            self.aliases = aliases
            self._retired += [b for name, b in old.items() if self._backends.get(name) is not b]
            gone = [name for name in old if name not in self._backends]
            for name in gone:
                self._snapshots.pop(name, None)
                self._errors.pop(name, None)
            return gone

    async def watch(self) -> None:
        """Refresh for ever; cancel to stop."""
        while True:
            await self.refresh()
            down = any(s.state in (State.DOWN, State.LOADING) for s in self._snapshots.values())
            # Who is away is looked for more often: its owner is waiting for it to come back.
            pause = min(self._probe_seconds, _AWAY_SECONDS) if down else self._probe_seconds
            self._gone.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._gone.wait()
                    await asyncio.sleep(min(pause, _AWAY_SECONDS))

    async def close(self) -> None:
        """Close every backend's connections."""
        for backend in (*self._backends.values(), *self._retired):
            await backend.close()

    async def _update(self, name: str, snapshot: Snapshot) -> None:
        if snapshot.error:
            self._errors[name] = snapshot.error
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
        able = self._backends[name].config.capabilities
        models = tuple(_with(able, model) for model in snapshot.models) if able else snapshot.models
        self._snapshots[name] = replace(snapshot, models=models or known)

    def _snapshot(self, name: str) -> Snapshot:
        return self._snapshots.get(name, Snapshot())

    def _view(self, name: str) -> BackendView:
        backend = self._backends[name]
        return BackendView(
            name=name,
            local=backend.local,
            priority=backend.config.priority,
            snapshot=self._snapshot(name),
            last_resort=backend.last_resort,
            aliases=backend.config.aliases,
            price=backend.config.price,
        )


def _with(able: Mapping[Capability, bool], model: ServedModel) -> ServedModel:
    """Let the configuration go before what the server says of a model."""
    known = {str(name): can for name, can in able.items()}
    return replace(model, capabilities=replace(model.capabilities, **known))
