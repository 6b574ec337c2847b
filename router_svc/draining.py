"""Answers that are read to their end though their client went away.

For backends with `on_disconnect = "drain"`, which generate or bill the whole answer
anyway. Each step of such an answer is a task of its own, so that the end of who waits for
it is not its own end. What then comes is noted in the trace as if it had been relayed;
the request's record is written when it is over (`Trace.rest`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from lair.router.v1.chat_pb2 import ChatCompletion, ChatEvent
from router_svc.attempt import Attempt
from router_svc.model import UpstreamError
from router_svc.trace import Trace

_Answer = TypeVar("_Answer")
_Batch = list[ChatEvent] | None


async def drained(answering: Awaitable[_Answer], attempt: Attempt) -> _Answer:
    """Return a whole answer; cancelled, leave a task behind that waits for it."""
    step = asyncio.ensure_future(answering)
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        if not step.cancelled():
            _leave(attempt, _wait(step, attempt.trace))
        raise


async def drained_stream(
    batches: AsyncGenerator[list[ChatEvent]], attempt: Attempt, held: Sequence[ChatEvent]
) -> AsyncGenerator[list[ChatEvent]]:
    """Yield what `batches` yields; closed early, leave a task behind that reads on.

    `held` is what was yielded and has not been noted by then.
    """
    step: asyncio.Future[_Batch] | None = None
    try:
        while True:
            step = asyncio.ensure_future(_next(batches))
            events = await asyncio.shield(step)
            step = None
            if events is None:
                return
            yield events
    except (asyncio.CancelledError, GeneratorExit):
        if step is None or not step.cancelled():
            attempt.trace.events(held)
            _leave(attempt, _read_on(step, batches, attempt.trace))
        raise


async def _next(batches: AsyncGenerator[list[ChatEvent]]) -> _Batch:
    return await anext(batches, None)


def _leave(attempt: Attempt, rest: Coroutine[Any, Any, None]) -> None:
    attempt.trace.rest = attempt.keep().start(_end(rest, attempt))


async def _end(rest: Coroutine[Any, Any, None], attempt: Attempt) -> None:
    """Run `rest`, then end the attempt as that ended."""
    error: BaseException | None = None
    try:
        await rest
    except UpstreamError as failure:  # told by the attempt's end
        error = failure
    except BaseException as failure:
        error = failure
        raise
    finally:
        attempt.end(error)


async def _wait(step: asyncio.Future[Any], trace: Trace) -> None:
    answer = await step
    if isinstance(answer, ChatCompletion):
        trace.completion(answer)
    elif answer.HasField("usage"):
        trace.used(answer.usage)


async def _read_on(
    step: asyncio.Future[_Batch] | None, batches: AsyncGenerator[list[ChatEvent]], trace: Trace
) -> None:
    async with aclosing(batches):
        if step is not None:
            trace.events(await step or ())
        async for events in batches:
            trace.events(events)
