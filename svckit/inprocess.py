"""Call a service of this process: the typed async stubs of a channel, without one.

`XStub(InProcessChannel(servicers))` behaves as `XStub(connect(address))` does:
deadlines, cancellation, metadata, errors. Only the hop is missing, which costs
more than the rest of a request. What differs: messages are not copied, so nobody
may change one after sending it; a stream's servicer works only while it is read,
in its reader's task; and who is late or cancelled waits for the servicer's
`finally` blocks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from functools import partial
from typing import Any, NoReturn, Self

import grpc

from svckit.grpc_server import Servicers
from svckit.handlers import translating
from svckit.monitoring_service import monitoring

Metadata = Sequence[tuple[str, str | bytes]]


class _Aborted(grpc.aio.AbortError):
    """Ends a servicer's method with a status."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing: Metadata) -> None:
        super().__init__(details)
        self.error = _error(code, details, trailing)


def _error(code: grpc.StatusCode, details: str, trailing: Metadata = ()) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details)


def _expired() -> grpc.aio.AioRpcError:
    return _error(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


class _Context:
    """What a servicer's method sees of its call."""

    def __init__(self, metadata: Metadata | None, timeout: float | None) -> None:
        self._metadata = tuple(metadata or ())
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._trailing: Metadata = ()

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def peer(self) -> str:
        return "inprocess"

    def set_trailing_metadata(self, trailing: Metadata) -> None:
        self._trailing = tuple(trailing)

    def set_code(self, _: grpc.StatusCode) -> None:
        """Ignore: who sets a code without aborting is an unwritten method, and raises."""

    def set_details(self, _: str) -> None:
        """Ignore, as `set_code`."""

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()
    ) -> NoReturn:
        raise _Aborted(code, details, trailing_metadata or self._trailing)

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        raise _Aborted(status.code, status.details, status.trailing_metadata or ())


class _UnaryCall:
    """A call that is under way, and its one answer.

    Without a deadline and awaited at once, as nearly every call is, it runs in the task
    that awaits it: a task of its own would cost two turns of the event loop.
    """

    def __init__(self, answer: Coroutine[Any, Any, Any], timeout: float | None) -> None:
        self._answer = answer
        self._task: asyncio.Task[Any] | None = None
        self._waiter: asyncio.Task[Any] | None = None  # who runs it, where that is no task of its
        self._outcome: Callable[[], Any] | None = None  # what awaiting gives again
        self._late = self._interrupted = False
        self._timer: asyncio.Handle | None = None
        if timeout is None:
            self._timer = asyncio.get_running_loop().call_soon(self._start)
            return
        task = self._start()
        if timeout <= 0:
            self._expire()
            return
        self._timer = task.get_loop().call_later(timeout, self._expire)
        task.add_done_callback(self._disarm)

    def _start(self) -> asyncio.Task[Any]:
        self._task = asyncio.ensure_future(self._answer)
        return self._task

    def _expire(self) -> None:
        # What is being cancelled already stays cancelled.
        assert self._task, "who has a deadline has a task"
        self._late = not self._task.cancelling() and self._task.cancel()

    def _disarm(self, _: Any = None) -> None:
        if self._timer:
            self._timer.cancel()

    def cancel(self) -> bool:
        """End the call; who awaits it gets CancelledError."""
        if self._outcome:
            return False
        if self._waiter:
            self._interrupted = True
            return self._waiter.cancel()  # taken back by `uncancel` when it has done its work
        self._disarm()
        return (self._task or self._start()).cancel()

    def done(self) -> bool:
        """Tell whether the call has ended."""
        return self._outcome is not None or (self._task is not None and self._task.done())

    def __await__(self) -> Generator[Any, None, Any]:
        if self._outcome:
            return self._outcome()
        return (yield from self._wait(self._task) if self._task else self._run())

    def _run(self) -> Generator[Any, None, Any]:
        """Run the servicer's method here."""
        self._disarm()
        waiter = self._waiter = _current_task()
        cancels = waiter.cancelling()
        self._outcome, outcome = None, _raise_cancelled
        try:
            outcome = partial(_itself, (yield from self._answer.__await__()))
        except _Aborted as abort:
            outcome = partial(_raise, abort.error)
        except asyncio.CancelledError:
            if not self._interrupted:
                raise
        finally:
            self._waiter, self._outcome = None, outcome
        if self._interrupted:  # whatever the servicer made of it
            self._outcome = _raise_cancelled
            if waiter.cancelling() > cancels:
                waiter.uncancel()
        return self._outcome()

    def _wait(self, task: asyncio.Task[Any]) -> Generator[Any, None, Any]:
        """Wait for the task that runs it."""
        waiting = _current_task()
        cancels = waiting.cancelling()
        answer, error = None, None
        try:
            answer = yield from task.__await__()
        except _Aborted as abort:
            error = abort.error
        except asyncio.CancelledError:
            if not self._late or waiting.cancelling() > cancels:
                raise
        # A servicer may have made anything of its end; the caller sees the cause.
        if self._late:
            raise _expired()
        if task.cancelling():
            raise asyncio.CancelledError
        if error:
            raise error
        return answer


class _StreamCall:
    """A call that is under way, and its answers as they come.

    The servicer's generator runs in the task that reads, so a reader that stops
    reading stops the servicer.
    """

    def __init__(self, answers: Any, timeout: float | None) -> None:
        self._answers = answers
        self._outcome: Callable[[], BaseException] | None = None  # what reading raises, once ended
        self._reader: asyncio.Task[Any] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if timeout is not None and timeout <= 0:
            self._interrupt(_expired)
        elif timeout is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(timeout, self._interrupt, _expired)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._outcome:
            raise self._outcome()
        reader = self._reader = _current_task()
        cancels = reader.cancelling()
        answer: Any = None
        ended: Callable[[], BaseException] | None = None
        try:
            answer = await self._answers.__anext__()
        except StopAsyncIteration:
            ended = StopAsyncIteration
        except asyncio.CancelledError:
            ended = asyncio.CancelledError
        except _Aborted as abort:
            ended = partial(_itself, abort.error)
        finally:
            self._reader = None
        if self._outcome:  # interrupted, whatever the servicer made of it
            if not ended:
                self._close()
            raise asyncio.CancelledError if reader.uncancel() > cancels else self._outcome()
        if not ended:
            return answer
        self._end(ended)
        raise ended()

    async def read(self) -> Any:
        """Return the next answer, or `grpc.aio.EOF`."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return grpc.aio.EOF

    def cancel(self) -> bool:
        """End the call; the servicer's `finally` blocks run."""
        return self._interrupt(asyncio.CancelledError)

    def done(self) -> bool:
        """Tell whether the call has ended."""
        return self._outcome is not None

    def _interrupt(self, outcome: Callable[[], BaseException]) -> bool:
        if self._outcome:
            return False
        self._end(outcome)
        if self._reader:
            self._reader.cancel()  # taken back by `uncancel` when it has done its work
        else:
            self._close()
        return True

    def _end(self, outcome: Callable[[], BaseException]) -> None:
        self._outcome = outcome
        if self._timer:
            self._timer.cancel()

    def _close(self) -> None:
        self._closing = asyncio.ensure_future(self._answers.aclose())


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task, "calls are awaited in a task"
    return task


def _itself(value: Any) -> Any:
    return value


def _raise(error: BaseException) -> NoReturn:
    raise error


def _raise_cancelled() -> NoReturn:
    raise asyncio.CancelledError


class _Multicallable:
    """One method: call it to begin a call."""

    def __init__(self, method: Callable[..., Any], call: type[_UnaryCall | _StreamCall]) -> None:
        self._method = method
        self._call = call

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **_: Any,
    ) -> Any:
        return self._call(self._method(request, _Context(metadata, timeout)), timeout)


class _Registry:
    """Takes the place of a server in `add_…Servicer_to_server`."""

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Ignore the older way to register; the generated code uses both."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        for name, handler in handlers.items():
            self.methods[f"/{service}/{name}"] = translating(handler)


class InProcessChannel(grpc.aio.Channel):
    """A channel straight to `servicers`. Closing it closes nothing else."""

    def __init__(self, servicers: Servicers) -> None:
        registry = _Registry()
        for register in (*servicers.register, monitoring(servicers.refresh)):
            register(registry)
        self._methods = registry.methods

    def unary_unary(self, method: str, *_: Any, **__: Any) -> Any:
        """Return the method with one request and one answer."""
        return _Multicallable(self._methods[method].unary_unary, _UnaryCall)

    def unary_stream(self, method: str, *_: Any, **__: Any) -> Any:
        """Return the method with one request and many answers."""
        return _Multicallable(self._methods[method].unary_stream, _StreamCall)

    def stream_unary(self, method: str, *_: Any, **__: Any) -> Any:
        """Refuse: no service of lair has such a method."""
        raise NotImplementedError(method)

    def stream_stream(self, method: str, *_: Any, **__: Any) -> Any:
        """Refuse: no service of lair has such a method."""
        raise NotImplementedError(method)

    async def close(self, grace: float | None = None) -> None:
        """Do nothing: the servicers belong to who opened them."""

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: ARG002, FBT001, FBT002  # grpc's signature
        """Return READY: the servicers are here."""
        return grpc.ChannelConnectivity.READY

    async def wait_for_state_change(
        self,
        last_observed_state: grpc.ChannelConnectivity,  # noqa: ARG002  # grpc's signature
    ) -> None:
        """Wait for a change that never comes."""
        await asyncio.Event().wait()

    async def channel_ready(self) -> None:
        """Return at once."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
