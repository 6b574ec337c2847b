"""What an outbox delivers, and what it does with what it cannot keep or deliver."""

from __future__ import annotations

import asyncio
import resource
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from svckit.errors import ServiceError, invalid_field
from svckit.outbox import Outbox, OutboxError
from tests.svckit.receiving import DOWN, SECONDS, Receiver, draining, numbered, opened, segments

# -- delivery ------------------------------------------------------------------


async def test_records_arrive_in_order_and_in_batches(folder: Path, receiver: Receiver) -> None:
    outbox = opened(folder, receiver, batch_size=4)
    for record in numbered(10):
        outbox.append(record)
    assert outbox.pending_count() == 10
    async with draining(outbox):
        assert await outbox.flush(SECONDS)
        assert outbox.pending_count() == 0
    assert receiver.records == numbered(10)
    assert [len(batch) for batch in receiver.batches] == [4, 4, 2]


async def test_any_bytes_arrive_as_they_were(folder: Path, receiver: Receiver) -> None:
    records = [b"", b"\n", b"\0" * 100, bytes(range(256)), b"x" * 300_000]
    outbox = opened(folder, receiver)
    async with draining(outbox):
        for record in records:
            outbox.append(record)
        assert await outbox.flush(SECONDS)
    assert receiver.records == records


async def test_a_batch_that_is_not_full_waits_for_more(folder: Path, receiver: Receiver) -> None:
    outbox = opened(folder, receiver, batch_size=3, linger_seconds=60)
    async with draining(outbox):
        outbox.append(b"1")
        outbox.append(b"2")
        await asyncio.sleep(0.05)
        assert receiver.batches == []
        outbox.append(b"3")
        async with asyncio.timeout(SECONDS):
            await receiver.called.wait()
    assert receiver.batches == [[b"1", b"2", b"3"]]


async def test_a_batch_goes_out_when_it_lingered_long_enough(
    folder: Path, receiver: Receiver
) -> None:
    outbox = opened(folder, receiver, linger_seconds=0.05)
    async with draining(outbox):
        before = time.monotonic()
        outbox.append(b"1")
        async with asyncio.timeout(SECONDS):
            await receiver.called.wait()
        assert time.monotonic() - before >= 0.04
    assert receiver.batches == [[b"1"]]


async def test_who_waits_for_a_key_does_not_linger(folder: Path, receiver: Receiver) -> None:
    outbox = opened(folder, receiver, linger_seconds=60)
    async with draining(outbox):
        assert await outbox.wait_delivered("conversation", SECONDS)
        outbox.append(b"1", "conversation")
        outbox.append(b"2", "other")
        assert await outbox.wait_delivered("conversation", SECONDS)
        assert receiver.records[0] == b"1"


async def test_waiting_for_a_key_ends_in_time_while_the_receiver_is_down(
    folder: Path, receiver: Receiver
) -> None:
    receiver.error = DOWN
    outbox = opened(folder, receiver)
    async with draining(outbox):
        outbox.append(b"1", "conversation")
        assert not await outbox.wait_delivered("conversation", 0.05)
        assert not await outbox.flush(0.05)
        assert await outbox.wait_delivered("other", 0.05)


async def test_records_wait_while_the_receiver_is_down_and_arrive_once_it_is_up(
    folder: Path, receiver: Receiver
) -> None:
    receiver.error = DOWN
    outbox = opened(folder, receiver)
    async with draining(outbox):
        for record in numbered(5):
            outbox.append(record)
        async with asyncio.timeout(SECONDS):
            await receiver.called.wait()
        assert outbox.pending_count() == 5
        receiver.error = None
        assert await outbox.flush(SECONDS)
    assert receiver.records == numbered(5)
    assert outbox.dropped_count == 0


@pytest.mark.parametrize(
    "refusal",
    [
        invalid_field("record", "never"),
        ServiceError("INVALID_BODY", "never"),
        ServiceError("BODY_TOO_LARGE", "larger than a message may be"),
    ],
    ids=lambda error: error.reason,
)
async def test_refused_records_are_found_and_dropped_alone(
    folder: Path, receiver: Receiver, refusal: ServiceError
) -> None:
    receiver.refusal = refusal
    receiver.bad = {b"record 3", b"record 7"}
    outbox = opened(folder, receiver, linger_seconds=60)
    for record in numbered(10):
        outbox.append(record)
    async with draining(outbox):
        assert await outbox.flush(SECONDS)
    assert receiver.records == [r for r in numbered(10) if r not in receiver.bad]
    assert outbox.dropped_count == 2


async def test_a_refused_record_is_counted_once_though_the_receiver_fails_meanwhile(
    folder: Path, receiver: Receiver
) -> None:
    failures = 3

    async def deliver(records: list[bytes]) -> None:
        nonlocal failures
        if records == [b"record 4"] and failures:
            failures -= 1
            raise DOWN
        await receiver(records)

    receiver.bad = {b"record 2"}
    outbox = Outbox("test", folder, deliver, batch_size=10, limit_bytes=1 << 20, linger_seconds=0)
    for record in numbered(6):
        outbox.append(record)
    async with draining(outbox):
        assert await outbox.flush(SECONDS)
    assert receiver.records == [r for r in numbered(6) if r != b"record 2"]
    assert outbox.dropped_count == 1


# -- limits --------------------------------------------------------------------


async def test_beyond_the_limit_the_oldest_are_dropped_and_counted(
    folder: Path, receiver: Receiver
) -> None:
    receiver.error = DOWN
    outbox = opened(folder, receiver, limit_bytes=10_000, batch_size=100)
    records = numbered(2000)
    for record in records:
        outbox.append(record)
    assert outbox.dropped_count > 0
    assert outbox.pending_count() == 2000 - outbox.dropped_count
    assert sum(path.stat().st_size for path in segments(folder)) < 10_000 + 2_500
    receiver.error = None
    async with draining(outbox):
        assert await outbox.flush(SECONDS)
    assert receiver.records == records[outbox.dropped_count :]


async def test_records_dropped_while_they_are_delivered_disturb_nothing(
    folder: Path, receiver: Receiver
) -> None:
    delivering, go_on = asyncio.Event(), asyncio.Event()

    async def slow(records: list[bytes]) -> None:
        delivering.set()
        await go_on.wait()
        await receiver(records)

    outbox = Outbox("test", folder, slow, batch_size=10, limit_bytes=1000, linger_seconds=0)
    outbox.append(b"record 0")
    async with draining(outbox):
        await delivering.wait()
        for record in numbered(200, start=1):
            outbox.append(record)
        go_on.set()
        assert await outbox.flush(SECONDS)
    assert receiver.records[0] == b"record 0"
    assert receiver.records[1:] == numbered(201)[outbox.dropped_count :]


async def test_small_journals_of_many_restarts_are_not_full(
    folder: Path, receiver: Receiver
) -> None:
    for record in numbered(20):
        outbox = opened(folder, receiver, limit_bytes=2000)
        outbox.append(record)
        outbox.close()
    last = opened(folder, receiver, limit_bytes=2000)
    for record in numbered(40, start=20):  # fills a segment, so that the limit is looked at
        last.append(record)
    async with draining(last):
        assert await last.flush(SECONDS)
    assert last.dropped_count == 0
    assert receiver.records == numbered(60)


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let the disk take no file beyond `size` bytes, as a full one would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 6])
async def test_a_record_the_disk_does_not_take_is_counted_and_disturbs_no_other(
    folder: Path, receiver: Receiver, room: int
) -> None:
    outbox = opened(folder, receiver)
    outbox.append(b"before")
    size = segments(folder)[0].stat().st_size + room
    with structlog.testing.capture_logs() as lines, files_limited_to(size):
        outbox.append(b"lost")
        outbox.append(b"lost too")
    assert [line["event"] for line in lines] == ["cannot write the journal"] * 2
    outbox.append(b"after")
    assert outbox.dropped_count == 2
    async with draining(outbox):
        assert await outbox.flush(SECONDS)
    assert receiver.records == [b"before", b"after"]


# -- files ---------------------------------------------------------------------


def test_the_journal_is_for_this_user_only(folder: Path, receiver: Receiver) -> None:
    outbox = opened(folder, receiver)
    outbox.append(b"1")
    outbox.close()
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutboxError, match="Not a directory; choose another data_dir"):
        opened(tmp_path / "file" / "journal", receiver)
