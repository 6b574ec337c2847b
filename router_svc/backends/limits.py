"""What bounds one attempt at a backend: its time, by four settings, and the size of replies."""

from __future__ import annotations

import asyncio
from types import TracebackType

import aiohttp

from router_svc.model import UpstreamError
from svckit import settings

_MEBIBYTE = 1024 * 1024
# Of an answer, pictures and vectors included.
MOST_ANSWER_BYTES = 64 * _MEBIBYTE
# Of a list of models or a state: OpenRouter's list alone is nearly one.
MOST_DOCUMENT_BYTES = 16 * _MEBIBYTE
MOST_ERROR_BYTES = _MEBIBYTE

_MISSED = {
    "connect_seconds": "no connection",
    "first_token_seconds": "no answer",
    "idle_seconds": "nothing more of the answer",
    "total_seconds": "no end of the answer",
}


class LateError(UpstreamError):
    """A backend took longer than `setting` allows, which is `seconds`."""

    def __init__(self, setting: str, seconds: float) -> None:
        super().__init__(
            "UPSTREAM_TIMEOUT",
            f"{_MISSED[setting]} within {seconds:g} seconds; raise its {setting} to wait longer",
            unreachable=setting == "connect_seconds",
        )
        self.setting = setting
        self.seconds = seconds


class TooLongError(UpstreamError):
    """A reply is longer than lair reads."""

    def __init__(self, status: int, most_bytes: int) -> None:
        size = f"{most_bytes // _MEBIBYTE} MiB"
        super().__init__("UPSTREAM_FAILED", f"its reply is longer than {size}", status=status)


class Patience:
    """The limits of one call, kept by one timer however often it waits.

        patience = Patience(config)
        with patience:
            …  # the one wait of this block raises `LateError` if it takes longer

    The timer is left running between waits and looks at the clock when it rings: a wait
    costs no more than a look at the clock, and there is one for each token.
    """

    __slots__ = (
        "_armed",
        "_cancels",
        "_connect",
        "_deadline",
        "_end",
        "_limit",
        "_loop",
        "_rung",
        "_task",
        "_timer",
        "_total",
    )

    def __init__(self, config: settings.Backend) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = ("first_token_seconds", config.first_token_seconds)
        self._connect = config.connect_seconds
        self._total = config.total_seconds
        self._end = None if self._total is None else self._loop.time() + self._total
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = self._deadline = 0.0
        self._cancels = 0
        self._rung = False

    def allow(self, setting: str, seconds: float) -> None:
        """Let each wait from now on take as long as `setting` says."""
        self._limit = (setting, seconds)

    def check(self) -> None:
        """Raise `LateError` where the whole has taken too long, though no wait did."""
        if self._end is not None and self._loop.time() >= self._end:
            raise self._late()

    def unconnected(self) -> LateError:
        """Return what is wrong where the connection itself, which others time, was late."""
        return LateError("connect_seconds", self._connect)

    def close(self) -> None:
        """Give the timer up."""
        if self._timer is not None:
            self._timer.cancel()

    def __enter__(self) -> None:
        task = self._task = asyncio.current_task()
        assert task, "coroutines run in tasks"
        self._cancels = task.cancelling()
        deadline = self._loop.time() + self._limit[1]
        if self._end is not None and self._end < deadline:
            deadline = self._end
        self._deadline = deadline
        if self._timer is None or deadline < self._armed:
            self._arm(deadline)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if not self._rung:
            return
        self._rung = False
        # A cancellation that came from elsewhere meanwhile goes before.
        assert task, "only who waits is interrupted"
        if task.uncancel() <= self._cancels and kind is asyncio.CancelledError:
            raise self._late() from error

    def _arm(self, deadline: float) -> None:
        self.close()
        self._armed = deadline
        self._timer = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return  # nobody waits; who does next arms it
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
            return
        self._rung = True
        self._task.cancel()

    def _late(self) -> LateError:
        if self._total is not None and self._end is not None and self._loop.time() >= self._end:
            return LateError("total_seconds", self._total)
        return LateError(*self._limit)


async def read_capped(reply: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Return the body of `reply`. Raises `TooLongError`."""
    read = reply.content.readany  # faster than `reply.read`, which knows no limit
    pieces: list[bytes] = []
    size = 0
    while piece := await read():
        size += len(piece)
        if size > most_bytes:
            raise TooLongError(reply.status, most_bytes)
        pieces.append(piece)
    return b"".join(pieces)
