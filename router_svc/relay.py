"""Ask the candidates in turn until one begins to answer; then relay that answer.

Before the first event a failure moves on to the next candidate; after it, the
failure is the answer's end.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from lair.router.v1.chat_pb2 import ChatEvent, Waiting
from router_svc.attempt import Attempt
from router_svc.backends.base import Backend
from router_svc.backends.limits import LateError
from router_svc.catalog import Catalog
from router_svc.draining import drained, drained_stream
from router_svc.model import Call, Candidate, UpstreamError
from router_svc.queue import Ask
from router_svc.trace import Trace
from svckit.errors import ServiceError

_Answer = TypeVar("_Answer")

# Of several failures the one that is told is what who asked can do most about: to try
# again helps without a change; a backend that read the request and refused it knows more
# than one that broke; and where nobody was there at all counts least (`_how_telling`).
_TELLING = {
    "RATE_LIMITED": 5,
    "CONTEXT_LENGTH_EXCEEDED": 4,
    "UPSTREAM_REJECTED": 3,
    "UPSTREAM_TIMEOUT": 2,
    "UPSTREAM_FAILED": 1,
}


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
                with Attempt(self._catalog, candidate, trace, ask) as attempt:
                    await attempt.place.admitted()
                    backend = attempt.begin()
                    answering = request(backend, candidate.model)
                    if backend.config.on_disconnect == "drain":
                        answering = drained(answering, attempt)
                    answer = await answering
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
                with Attempt(self._catalog, candidate, trace, ask) as attempt:
                    async for position in attempt.place.positions():
                        yield [ChatEvent(waiting=Waiting(position=position))], candidate
                    backend = attempt.begin()
                    answering = request(backend, candidate.model)
                    if backend.config.on_disconnect == "drain":
                        answering = drained_stream(answering, attempt, held)
                    async with aclosing(answering) as batches:
                        async for events in batches:
                            held += events
                            if not held or _is_end_or_start(held[-1]):
                                continue
                            begun = True
                            ready = held[:]
                            held.clear()
                            yield ready, candidate
            except UpstreamError as error:
                failures.append(error)
                if begun or not error.try_next:
                    break
                continue
            yield held, candidate
            return
        raise _exhausted(trace.call, candidates, failures)


def _is_end_or_start(event: ChatEvent) -> bool:
    return event.HasField("started") or event.HasField("completed")


def _exhausted(
    call: Call, candidates: Sequence[Candidate], failures: Sequence[UpstreamError]
) -> ServiceError:
    """Say why nobody answered: the most telling failure, and who was asked."""
    place, error = max(enumerate(failures), key=_how_telling)
    asked = [candidate.backend for candidate in candidates[: len(failures)]]
    metadata = {
        "model": call.model or "auto",
        "backend": asked[place],
        "backends": ", ".join(asked),
    }
    if error.status:
        metadata["upstream_status"] = str(error.status)
    if error.retry_after_seconds is not None:
        metadata["retry_after_seconds"] = f"{error.retry_after_seconds:g}"
    if isinstance(error, LateError):
        metadata |= {"setting": error.setting, "timeout_seconds": f"{error.seconds:g}"}
    others = ", ".join(dict.fromkeys(name for name in asked if name != asked[place]))
    also = f" (also asked: {others})" if others else ""
    return ServiceError(error.reason, f"{asked[place]}: {error.message}{also}", **metadata)


def _how_telling(failure: tuple[int, UpstreamError]) -> tuple[bool, int, float, int]:
    """Order failures as `_TELLING` says; of equals the soonest to try again, then the last."""
    place, error = failure
    later = math.inf if error.retry_after_seconds is None else error.retry_after_seconds
    return not error.unreachable, _TELLING.get(error.reason, 0), -later, place
