"""Whatever comes, leaves, ends, expires or is resized when: no slot too many and none lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router_svc.line import Priority
from router_svc.queue import Ask, DeviceQueue, QueueFullError, QueueLimits, QueueTimeoutError
from tests.router.line_rules import Witness
from tests.router.virtual_time import VirtualTimeLoop

PRIORITIES = st.sampled_from(Priority)
KEYS = st.sampled_from("xyz")
MOST_WAITING, PATIENCE = 8, 10.0


class Crowd(RuleBasedStateMachine):
    """Clients of one queue, each a task; between the rules everybody waits.

    A witness who knows nothing of the queue's insides judges the order of admissions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.queue = DeviceQueue("gpu0", slots=2, limits=QueueLimits(MOST_WAITING, PATIENCE))
        self.witness = Witness()
        self.clients: dict[int, asyncio.Task[None]] = {}
        self.running: dict[int, asyncio.Event] = {}
        self.struck: set[int] = set()  # cancelled while they were being admitted
        self.came: dict[int, float] = {}
        self.refused = 0
        self.gave_up_early = False
        self.ran = 0  # how many did when last looked at

    async def client(self, who: int, ask: Ask, *, listening: bool) -> None:
        try:
            with self.queue.enter(ask) as place:
                self.witness.came(who, ask.priority, ask.key)
                if listening:
                    await self.listen(who, place.positions())
                await place.admitted()
                assert self.loop.now - self.came[who] <= PATIENCE
                self.witness.was_served(who)
                self.running[who] = asyncio.Event()
                try:
                    await self.running[who].wait()
                finally:
                    del self.running[who]
        except QueueFullError:
            self.refused += 1
        except QueueTimeoutError:
            self.gave_up_early |= self.loop.now - self.came[who] < PATIENCE
            self.witness.left(who)
        except asyncio.CancelledError:
            if who in self.struck:
                self.witness.was_served(who)  # it had its turn, and could not use it
            elif who in self.witness.waiting:
                self.witness.left(who)

    async def listen(self, who: int, positions: AsyncIterator[int]) -> None:
        before = None
        async for position in positions:
            assert position != before
            assert 0 <= position < len(self.witness.waiting)
            before = position

    def run(self, act: Callable[[], object] | None = None) -> None:
        """Do something on the loop, then let everybody run until all wait."""

        async def settle() -> None:
            if act:
                act()
            for _ in range(8):
                await asyncio.sleep(0)

        self.loop.run_until_complete(settle())
        for who in [who for who, task in self.clients.items() if task.done()]:
            self.clients.pop(who).result()

    @rule(priority=PRIORITIES, key=KEYS, listening=st.booleans(), times=st.integers(1, 4))
    def come(self, priority: Priority, key: str, listening: bool, times: int) -> None:
        for _ in range(times):
            who = len(self.came)
            waiting, refused = self.queue.waiting_count, self.refused
            self.came[who] = self.loop.now
            work = self.client(who, Ask(key, priority), listening=listening)
            self.clients[who] = self.loop.create_task(work)
            self.run()
            full = waiting >= MOST_WAITING and who not in self.running
            assert self.refused == refused + full

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.running[data.draw(st.sampled_from(sorted(self.running)))].set()
        self.run()

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        some = st.lists(st.sampled_from(sorted(self.clients)), min_size=1, unique=True)
        for who in data.draw(some):
            self.clients[who].cancel()
            self.run()
            assert who not in self.running

    @precondition(lambda self: self.witness.waiting)
    @rule()
    def cancel_who_is_being_admitted(self) -> None:
        ask = next(self.queue._line.order()).ask
        waiting = self.witness.waiting.items()
        who = next(who for who, asked in waiting if asked == (ask.priority, ask.key))

        def admit_and_cancel() -> None:
            self.queue.resize(self.queue.running_count + 1)
            assert self.queue.waiting_count == len(waiting) - 1
            self.clients[who].cancel()

        self.struck.add(who)
        self.run(admit_and_cancel)
        assert who not in self.clients

    @rule(slots=st.integers(0, 4))
    def resize(self, slots: int) -> None:
        self.run(lambda: self.queue.resize(slots))

    @rule(seconds=st.integers(1, 6))
    def wait(self, seconds: int) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.run()
        assert not self.gave_up_early
        assert all(self.loop.now - self.came[who] < PATIENCE for who in self.witness.waiting)

    @invariant()
    def counts_who_is_there(self) -> None:
        assert self.queue.running_count == len(self.running)
        assert self.queue.waiting_count == len(self.witness.waiting) <= MOST_WAITING
        assert len(self.clients) == len(self.running) + len(self.witness.waiting)

    @invariant()
    def nobody_runs_beyond_the_slots_and_nobody_waits_beside_a_free_one(self) -> None:
        slots, running = self.queue.slots, len(self.running)
        assert not slots or running <= max(slots, self.ran)
        assert not self.witness.waiting or 0 < slots <= running
        self.ran = running

    @invariant()
    def everybody_was_served_in_turn(self) -> None:
        assert self.witness.broken == []

    def teardown(self) -> None:
        """Let all end: who is still there is served, and nothing remains."""
        try:
            while self.clients:
                assert self.running
                for done in list(self.running.values()):
                    done.set()
                self.run()
            self.counts_who_is_there()
            self.everybody_was_served_in_turn()
            assert not self.queue._watched
            assert self.loop.faults == []
        finally:
            for task in self.clients.values():
                task.cancel()
            self.run()
            self.loop.close()


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
