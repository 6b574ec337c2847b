"""Ask the candidates in turn until one begins to answer; then relay that answer.

Before the first event a failure moves on to the next candidate; after it, the
failure is the answer's end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import TypeVar

from lair.metrics.v1.usage_pb2 import STATUS_CLIENT_CANCELLED, STATUS_INTERNAL_ERROR, STATUS_OK
from lair.router.v1.chat_pb2 import ChatEvent, Waiting
from router_svc.backends.base import Backend
from router_svc.catalog import Catalog
from router_svc.model import Call, Candidate, UpstreamError
from router_svc.queue import Ask, Place, QueueFullError, QueueTimeoutError
from router_svc.trace import Trace, status_of
from svckit.errors import ServiceError
from svckit.logging import get_logger

log = get_logger(__name__)

_Answer = TypeVar("_Answer")


class Relay:
    """Runs a request on the first of its candidates that answers.

    What is asked of each is a function of a backend and the name of its model.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def whole(
        self,
        request: Callable[[Backend, str], Awaitable[_Answer]],
        candidates: Sequence[Candidate],
        trace: Trace,
        ask: Ask,
    ) -> tuple[_Answer, Candidate]:
        """Return the answer and who gave it. Raises `ServiceError`."""
        failures: list[UpstreamError] = []
        for candidate in candidates:
            try:
                with self._place(candidate, ask) as place:
                    since = time.perf_counter()
                    try:
                        await place.admitted()
                    finally:
                        trace.queued(since)
                    with _Attempt(self._catalog, candidate, trace):
                        backend = self._catalog.backend(candidate.backend)
                        answer = await request(backend, candidate.model)
            except UpstreamError as error:
                failures.append(error)
                if not error.try_next:
                    break
                continue
            return answer, candidate
        raise _exhausted(trace.call, candidates, failures)

    async def stream(
        self,
        request: Callable[[Backend, str], AsyncGenerator[list[ChatEvent]]],
        candidates: Sequence[Candidate],
        trace: Trace,
        ask: Ask,
    ) -> AsyncGenerator[tuple[list[ChatEvent], Candidate]]:
        """Yield the events of the answer with who gives it. Raises `ServiceError`.

        `started` is held back until something follows it, and `completed` until the
        backend is done with, so that the trace is whole when it is passed on.
        """
        failures: list[UpstreamError] = []
        for candidate in candidates:
            held: list[ChatEvent] = []
            begun = False
            try:
                with self._place(candidate, ask) as place:
                    since = time.perf_counter()
                    try:
                        async for position in place.positions():
                            yield [ChatEvent(waiting=Waiting(position=position))], candidate
                    finally:
                        trace.queued(since)
                    with _Attempt(self._catalog, candidate, trace):
                        backend = self._catalog.backend(candidate.backend)
                        async with aclosing(request(backend, candidate.model)) as batches:
                            async for events in batches:
                                held += events
                                if not held or _is_end_or_start(held[-1]):
                                    continue
                                begun = True
                                yield held, candidate
                                held = []
            except UpstreamError as error:
                failures.append(error)
                if begun or not error.try_next:
                    break
                continue
            yield held, candidate
            return
        raise _exhausted(trace.call, candidates, failures)

    @contextmanager
    def _place(self, candidate: Candidate, ask: Ask) -> Iterator[Place]:
        """Wait in the queue of the candidate's device; no room is a failure like another."""
        try:
            with self._catalog.queue(candidate.backend).enter(ask) as place:
                yield place
        except (QueueFullError, QueueTimeoutError) as error:
            raise UpstreamError(
                "RATE_LIMITED", str(error), retry_after_seconds=error.retry_after_seconds
            ) from error


def _is_end_or_start(event: ChatEvent) -> bool:
    return event.HasField("started") or event.HasField("completed")


class _Attempt:
    """One try of one backend: counted in the catalogue, noted in the trace."""

    def __init__(self, catalog: Catalog, candidate: Candidate, trace: Trace) -> None:
        self._catalog = catalog
        self._candidate = candidate
        self._trace = trace

    def __enter__(self) -> None:
        backend = self._catalog.backend(self._candidate.backend)
        self._catalog.begin(backend.name)
        self._trace.generated_from_memory = backend.last_resort
        self._trace.begin_attempt(backend.name, self._candidate.model, local=backend.local)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        name = self._candidate.backend
        if isinstance(error, UpstreamError):
            text = error.public_message
            log.warning("backend failed", backend=name, error=text)
            self._catalog.end(name, error)
            self._trace.end_attempt(status_of(error.reason), http_status=error.status, error=text)
            return
        self._catalog.end(name, answered=error is None)
        if error is None:
            self._trace.end_attempt(STATUS_OK, http_status=200)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._trace.end_attempt(STATUS_CLIENT_CANCELLED)
        else:
            self._trace.end_attempt(STATUS_INTERNAL_ERROR, error=repr(error))


def _exhausted(
    call: Call, candidates: Sequence[Candidate], failures: Sequence[UpstreamError]
) -> ServiceError:
    """Say why nobody answered: the last failure, and who was asked."""
    last = failures[-1]
    tried = ", ".join(candidate.backend for candidate in candidates[: len(failures)])
    asked = candidates[len(failures) - 1].backend
    metadata = {"model": call.model or "auto", "backend": asked, "backends": tried}
    if last.status:
        metadata["upstream_status"] = str(last.status)
    if last.retry_after_seconds is not None:
        metadata["retry_after_seconds"] = f"{last.retry_after_seconds:g}"
    return ServiceError(last.reason, f"{tried}: {last.message}", **metadata)
