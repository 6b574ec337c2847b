"""A receiver of records, and outboxes that deliver to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from svckit.errors import ServiceError, invalid_field
from svckit.outbox import Outbox

SECONDS = 10.0
DOWN = ServiceError("SERVICE_UNAVAILABLE", "down", service="memory")


class Receiver:
    """Takes batches; down while `error` is set; refuses a batch with one of `bad`."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.error: ServiceError | None = None
        self.bad: set[bytes] = set()
        self.refusal = invalid_field("record", "never")
        self.called = asyncio.Event()

    async def __call__(self, records: list[bytes]) -> None:
        self.called.set()
        if self.error:
            raise self.error
        if self.bad & set(records):
            raise self.refusal
        self.batches.append(records)

    @property
    def records(self) -> list[bytes]:
        return [record for batch in self.batches for record in batch]


def opened(
    folder: Path,
    receiver: Receiver,
    *,
    batch_size: int = 10,
    limit_bytes: int = 1 << 20,
    linger_seconds: float = 0.0,
) -> Outbox:
    return Outbox(
        "test",
        folder,
        receiver,
        batch_size=batch_size,
        limit_bytes=limit_bytes,
        linger_seconds=linger_seconds,
    )


@asynccontextmanager
async def draining(outbox: Outbox) -> AsyncIterator[None]:
    """Deliver within the block, as a process does between its start and its end."""
    async with asyncio.TaskGroup() as tasks:
        drain = tasks.create_task(outbox.drain())
        yield
        drain.cancel()
    outbox.close()


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"record %d" % number for number in range(start, start + count)]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))
