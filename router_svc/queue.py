"""The queues in front of the devices: who waits, who is served, and for how long.

    with queue.enter(Ask(key, priority)) as place:
        async for position in place.positions():  # where somebody wants to know
            ...
        await place.admitted()
        ...  # holds a slot until the block is left, in whatever way

Whoever frees a slot admits the next one at once; the task that waits only hears of it.
Leaving the block gives back what the place has got by then, so a task that is cancelled
while it is being admitted keeps nothing. `line.py` says who is next.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Self

from router_svc.line import Line, Priority

# How long a request is taken to hold its slot while none has been measured.
FIRST_GUESS_SECONDS = 5.0
_WEIGHT_OF_LATEST = 0.2


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How many may wait for a device, and for how long; `math.inf` is for ever."""

    max_waiting: int
    max_wait_seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Who asks, in terms of fair shares, and how soon the answer is needed."""

    key: str
    priority: Priority


class QueueFullError(Exception):
    """As many wait as may; `retry_after_seconds` is how long one more would have to."""

    def __init__(self, device: str, waiting: int, retry_after_seconds: float) -> None:
        super().__init__(f"{waiting} requests already wait for {device}; try again later")
        self.retry_after_seconds = retry_after_seconds


class QueueTimeoutError(Exception):
    """The request waited as long as it may; `retry_after_seconds` is what a new one would."""

    def __init__(self, device: str, waited_seconds: float, retry_after_seconds: float) -> None:
        super().__init__(f"{device} had no room for {waited_seconds:.3g} s; try again later")
        self.waited_seconds = waited_seconds
        self.retry_after_seconds = retry_after_seconds


class Place:
    """One request's place in a queue, and its slot once it is admitted.

    It is held within its block: entering raises `QueueFullError`, leaving gives it back.
    """

    __slots__ = ("_entry", "_queue")

    def __init__(self, queue: DeviceQueue, ask: Ask) -> None:
        self._queue = queue
        self._entry = _Entry(ask)

    def __enter__(self) -> Self:
        self._queue._join(self._entry)  # noqa: SLF001  # the two are one thing from outside
        return self

    def __exit__(self, *_: object) -> None:
        self._queue._leave(self._entry)  # noqa: SLF001

    async def admitted(self) -> None:
        """Wait for the slot. Raises `QueueTimeoutError`."""
        while self._entry.is_waiting():
            await self._entry.changed()

    def positions(self) -> AsyncIterator[int]:
        """Yield how many of those that wait are served first, at once and after each change.

        Who is slow to ask gets the latest only. Ends when admitted. Raises
        `QueueTimeoutError`.
        """
        return _Positions(self._entry, self._queue._position)  # noqa: SLF001


class DeviceQueue:
    """The requests for one device; at most `slots` are admitted at a time, 0 is no limit.

    `limits` may be replaced at any time, and count for those that come from then on.
    """

    def __init__(self, name: str, *, slots: int, limits: QueueLimits) -> None:
        self.name = name
        self.limits = limits
        self._slots = slots
        self._running = 0
        self._held_seconds: float | None = None
        self._line: Line[_Entry] = Line()
        self._watched: set[_Entry] = set()
        self._positions: dict[_Entry, int] = {}  # empty from a change until somebody asks
        self._telling = False

    @property
    def slots(self) -> int:
        """How many may run at a time; 0 is no limit."""
        return self._slots

    @property
    def running_count(self) -> int:
        """How many hold a slot; for a while more than `slots` after it was made smaller."""
        return self._running

    @property
    def waiting_count(self) -> int:
        """How many wait for a slot."""
        return len(self._line)

    def expected_wait_seconds(self, priority: Priority, key: str = "") -> float:
        """Estimate how long a request of `key` that came now would wait."""
        if self._has_room():
            return 0.0
        held = FIRST_GUESS_SECONDS if self._held_seconds is None else self._held_seconds
        too_many = self._running - self._slots
        ahead = self._line.ahead_of_newcomer(priority, key)
        return held * (too_many + ahead + 1) / self._slots

    def resize(self, slots: int) -> None:
        """Change the number of slots: who has room now is admitted, who runs may finish."""
        self._slots = slots
        self._admit()

    def enter(self, ask: Ask) -> Place:
        """Return a place for `ask`; it is held while the block it opens lasts."""
        return Place(self, ask)

    def _has_room(self) -> bool:
        return not self._slots or self._running < self._slots

    def _join(self, entry: _Entry) -> None:
        ask, limits = entry.ask, self.limits
        if self._has_room():  # so nobody waits
            self._start(entry)
            return
        if len(self._line) >= limits.max_waiting:
            wait = self.expected_wait_seconds(ask.priority, ask.key)
            raise QueueFullError(self.name, len(self._line), wait)
        self._line.add(entry, ask.priority, ask.key)
        self._changed()
        if limits.max_wait_seconds < math.inf:
            seconds = limits.max_wait_seconds
            loop = asyncio.get_running_loop()
            entry.timer = loop.call_later(seconds, self._give_up, entry, seconds)

    def _start(self, entry: _Entry) -> None:
        self._running += 1
        entry.started = asyncio.get_running_loop().time()
        self._settle(entry, _State.ADMITTED)

    def _admit(self) -> None:
        while self._line and self._has_room():
            self._start(self._line.pop())
        self._changed()

    def _leave(self, entry: _Entry) -> None:
        state = entry.state
        self._settle(entry, _State.GONE)
        if state is _State.ADMITTED:
            self._running -= 1
            self._measure(asyncio.get_running_loop().time() - entry.started)
            if self._line:
                self._admit()
        elif state is _State.WAITING:
            self._remove(entry)

    def _give_up(self, entry: _Entry, waited_seconds: float) -> None:
        self._remove(entry)
        wait = self.expected_wait_seconds(entry.ask.priority, entry.ask.key)
        entry.error = QueueTimeoutError(self.name, waited_seconds, wait)
        self._settle(entry, _State.GONE)

    def _remove(self, entry: _Entry) -> None:
        self._line.remove(entry, entry.ask.priority, entry.ask.key)
        self._changed()

    def _settle(self, entry: _Entry, state: _State) -> None:
        entry.state = state
        entry.tell()
        if self._watched:
            self._watched.discard(entry)
        if entry.timer is not None:
            entry.timer.cancel()

    def _measure(self, seconds: float) -> None:
        before = seconds if self._held_seconds is None else self._held_seconds
        self._held_seconds = before + _WEIGHT_OF_LATEST * (seconds - before)

    def _position(self, entry: _Entry) -> int:
        """Return the position of one that waits, and tell it of changes from now on."""
        self._watched.add(entry)
        if not self._positions:  # one walk along the line serves all who ask
            self._positions = {other: index for index, other in enumerate(self._line.order())}
        return self._positions[entry]

    def _changed(self) -> None:
        self._positions = {}
        if self._watched and not self._telling:
            # Once for all that changes before those who watch get to run.
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        for entry in self._watched:
            entry.tell()


class _State(Enum):
    WAITING = auto()
    ADMITTED = auto()
    GONE = auto()


@dataclass(slots=True, eq=False)
class _Entry:
    """What queue and place know of one request: the queue writes, the place waits."""

    ask: Ask
    state: _State = _State.WAITING
    wake: asyncio.Event | None = None  # where somebody waits for it: few have to
    timer: asyncio.TimerHandle | None = None
    started: float = 0.0
    error: QueueTimeoutError | None = None

    def is_waiting(self) -> bool:
        """Tell whether it waits, not yet admitted; raise where it never will be."""
        if self.error is not None:
            raise self.error
        if self.state is _State.GONE:
            raise RuntimeError("the block that held this place has been left")
        return self.state is _State.WAITING

    async def changed(self) -> None:
        """Wait until it may be worth a look again."""
        self.wake = self.wake or asyncio.Event()
        self.wake.clear()
        await self.wake.wait()

    def tell(self) -> None:
        """Have whoever waits look again."""
        if self.wake:
            self.wake.set()


class _Positions:
    """An iterator and no generator, so that leaving the loop early leaves nothing to close."""

    def __init__(self, entry: _Entry, position: Callable[[_Entry], int]) -> None:
        self._entry = entry
        self._position = position
        self._told: int | None = None

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        while self._entry.is_waiting():
            position = self._position(self._entry)
            if position != self._told:
                self._told = position
                return position
            await self._entry.changed()
        raise StopAsyncIteration
