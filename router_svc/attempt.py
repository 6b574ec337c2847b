"""One attempt at a candidate: it waits for its device, then its backend is asked once.

    with Attempt(catalog, candidate, trace, ask) as attempt:
        await attempt.place.admitted()
        backend = attempt.begin()
        …

Counted in the catalogue and noted in the trace, whatever ends it. Whoever keeps the attempt
of an answer that goes on without its client ends it himself.
"""

from __future__ import annotations

import asyncio
import time
from typing import Self

from lair.metrics.v1.usage_pb2 import STATUS_CLIENT_CANCELLED, STATUS_INTERNAL_ERROR, STATUS_OK
from router_svc.backends.base import Backend
from router_svc.catalog import Catalog
from router_svc.leftovers import Leftovers
from router_svc.model import Candidate, UpstreamError
from router_svc.queue import Ask, Place, QueueFullError, QueueTimeoutError
from router_svc.trace import Trace, status_of
from svckit.logging import get_logger

log = get_logger(__name__)


class Attempt:
    """A place in the queue, and after `begin` one try of the backend.

    A queue without room is a failure of the candidate like another: `UpstreamError`.
    """

    __slots__ = ("_begun", "_candidate", "_catalog", "_kept", "_since", "place", "trace")

    def __init__(self, catalog: Catalog, candidate: Candidate, trace: Trace, ask: Ask) -> None:
        self.trace = trace
        self.place: Place = catalog.queue(candidate.backend).enter(ask)
        self._catalog = catalog
        self._candidate = candidate
        self._since = 0.0
        self._begun = self._kept = False

    def begin(self) -> Backend:
        """Note that the wait is over and the backend is asked now; return it."""
        self.trace.queued(self._since)
        self._since = 0.0
        # Looked up anew: a reload may have put another there while the request waited.
        backend = self._catalog.backend(self._candidate.backend)
        self._catalog.begin(backend.name)
        self._begun = True
        trace = self.trace
        trace.generated_from_memory = backend.last_resort
        trace.device_watts = backend.config.watts
        trace.begin_attempt(backend.name, self._candidate.model, local=backend.local)
        return backend

    def keep(self) -> Leftovers:
        """Leave the attempt open when its block is left; return who owns what ends it."""
        self._kept = True
        return self._catalog.standings.leftovers

    def end(self, error: BaseException | None) -> None:
        """Free the place, and note how the try ended: with `error`, or well."""
        try:
            if self._begun:
                self._end_attempt(error)
            elif self._since:
                self.trace.queued(self._since)
        finally:
            self.place.__exit__()

    def __enter__(self) -> Self:
        self._since = time.perf_counter()
        try:
            self.place.__enter__()
        except QueueFullError as error:
            raise _no_room(error) from error
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._kept:
            return
        self.end(error)
        if isinstance(error, QueueTimeoutError):
            raise _no_room(error) from error

    def _end_attempt(self, error: BaseException | None) -> None:
        name, trace = self._candidate.backend, self.trace
        if isinstance(error, UpstreamError):
            text = error.public_message
            log.warning("backend failed", backend=name, error=text)
            self._catalog.end(name, error)
            trace.end_attempt(status_of(error.reason), http_status=error.status, error=text)
            return
        self._catalog.end(name, answered=error is None)
        if error is None:
            trace.end_attempt(STATUS_OK, http_status=200)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            trace.end_attempt(STATUS_CLIENT_CANCELLED)
        else:
            trace.end_attempt(STATUS_INTERNAL_ERROR, error=repr(error))


def _no_room(error: QueueFullError | QueueTimeoutError) -> UpstreamError:
    return UpstreamError("RATE_LIMITED", str(error), retry_after_seconds=error.retry_after_seconds)
