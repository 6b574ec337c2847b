"""How backends stand just now: resting, left alone, busy. Changes with every request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from router_svc.backends.base import Backend
from router_svc.breaker import Breaker
from router_svc.devices import Devices
from router_svc.leftovers import Leftovers
from router_svc.model import Standing, UpstreamError
from router_svc.modes import Modes
from router_svc.queue import Ask

_WEIGHT_OF_LATEST = 0.2


class Standings:
    """The breakers of all backends, their devices' queues, gaming mode, and leftovers."""

    def __init__(self, modes: Modes, devices: Devices, leftovers: Leftovers) -> None:
        self.modes = modes
        self.devices = devices
        self.leftovers = leftovers
        self._ends: dict[str, asyncio.Event] = {}
        self._breakers: dict[str, Breaker] = {}
        self._speeds: dict[str, float] = {}

    def of(self, backends: Iterable[Backend], ask: Ask) -> dict[str, Standing]:
        """Return how each backend stands for who asks; who stands well is left out."""
        now = time.monotonic()
        standings = {}
        for backend in backends:
            breaker = self._breakers.get(backend.name)
            resting = breaker.resting(now) if breaker else ""
            explicit_only = self.explicit_only(backend)
            wait = self.devices.of(backend).expected_wait_seconds(ask.priority, ask.key)
            if resting or explicit_only or wait:
                standings[backend.name] = Standing(explicit_only, resting, wait)
        return standings

    def begin(self, name: str) -> None:
        """Note that a request is sent."""
        if breaker := self._breakers.get(name):
            breaker.begin(time.monotonic())

    def succeeded(self, name: str) -> None:
        """Note an answer."""
        self._breakers.pop(name, None)
        self._tell(name)

    def failed(self, name: str, error: UpstreamError) -> None:
        """Note a failure, if it is the backend's own."""
        breaker = self._breakers.setdefault(name, Breaker())
        if error.retry_after_seconds is not None:
            breaker.asked(time.monotonic(), error.retry_after_seconds)
        elif error.reason in ("UPSTREAM_FAILED", "UPSTREAM_TIMEOUT"):
            breaker.failed(time.monotonic())
        else:
            breaker.ended()
        self._tell(name)

    def ended(self, name: str) -> None:
        """Note an outcome that says nothing about the backend."""
        if breaker := self._breakers.get(name):
            breaker.ended()
        self._tell(name)

    async def next_end(self, name: str) -> None:
        """Wait until one more request that the backend works on is over."""
        await self._ends.setdefault(name, asyncio.Event()).wait()

    def resting(self, name: str) -> str:
        """Say why a backend is asked last; empty if it is not."""
        breaker = self._breakers.get(name)
        return breaker.resting(time.monotonic()) if breaker else ""

    def measured(self, name: str, tokens_per_second: float) -> None:
        """Note how fast a backend generated an answer; the latest weigh most."""
        before = self._speeds.get(name, tokens_per_second)
        self._speeds[name] = before + _WEIGHT_OF_LATEST * (tokens_per_second - before)

    def tokens_per_second(self, name: str) -> float | None:
        """Return how fast a backend generates; None if it never told."""
        return self._speeds.get(name)

    def explicit_only(self, backend: Backend) -> str:
        """Say why only requests that name it reach it; empty if others do too."""
        if backend.config.explicit_only:
            return "explicit_only in the configuration"
        return "gaming mode" if self.gaming(backend) else ""

    def gaming(self, backend: Backend) -> bool:
        """Tell whether only gaming mode keeps others than those that name it from it."""
        if backend.config.explicit_only or backend.last_resort:
            return False
        return self.modes.held(backend.name) is not None

    def _tell(self, name: str) -> None:
        if self._ends and (end := self._ends.pop(name, None)):
            end.set()
