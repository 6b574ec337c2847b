"""Whatever the order of appends, failures and restarts: at least once, and in order."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from svckit.errors import ServiceError
from svckit.outbox import Outbox

BATCH = 3


class Deliveries(RuleBasedStateMachine):
    """Appends numbered records, and notes in which order each first arrives.

    Between the rules the drain task stands still; `deliver` lets it run until it
    has nothing to do or met a failure.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.appended: list[bytes] = []
        self.arrived: list[bytes] = []  # each record once, in the order of first arrival
        self.failures = 0
        self.acknowledgements_lost = 0
        self.outbox = self.open()

    def open(self) -> Outbox:
        return Outbox(
            "machine",
            Path(self.folder.name),
            self.receive,
            batch_size=BATCH,
            limit_bytes=1 << 20,
            linger_seconds=0,
        )

    async def receive(self, records: list[bytes]) -> None:
        assert 0 < len(records) <= BATCH
        if self.failures:
            self.failures -= 1
            raise ServiceError("SERVICE_UNAVAILABLE", "down", service="machine")
        self.arrived += [record for record in records if record not in self.arrived]
        if self.acknowledgements_lost:
            self.acknowledgements_lost -= 1
            raise ServiceError("DEADLINE_EXCEEDED", "the acknowledgement was lost")

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    @rule(count=st.integers(1, 5), size=st.integers(0, 40))
    def append(self, count: int, size: int) -> None:
        for _ in range(count):
            record = b"%d " % len(self.appended) + b"x" * size
            self.outbox.append(record)
            self.appended.append(record)

    @rule(failures=st.integers(0, 1), lost=st.integers(0, 1), patience=st.floats(0.001, 0.02))
    def deliver(self, failures: int, lost: int, patience: float) -> None:
        self.failures, self.acknowledgements_lost = failures, lost
        self.run(self.drain_for(patience))

    async def drain_for(self, seconds: float) -> None:
        drain = asyncio.ensure_future(self.outbox.drain())
        await self.outbox.flush(seconds)
        drain.cancel()
        await asyncio.gather(drain, return_exceptions=True)

    @rule()
    def reopen(self) -> None:
        self.outbox.close()
        self.outbox = self.open()

    @invariant()
    def first_arrivals_are_in_order(self) -> None:
        assert self.arrived == self.appended[: len(self.arrived)]

    @invariant()
    def nothing_is_neither_delivered_nor_pending(self) -> None:
        assert self.outbox.pending_count() >= len(self.appended) - len(self.arrived)

    def teardown(self) -> None:
        self.failures = self.acknowledgements_lost = 0
        self.run(self.drain_for(10))
        self.outbox.close()
        self.loop.close()
        self.folder.cleanup()
        assert self.arrived == self.appended
        assert self.outbox.dropped_count == 0


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
