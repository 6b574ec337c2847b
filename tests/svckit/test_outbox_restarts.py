"""Restarts, crashes and damage: at least once, in order, and what is lost is counted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from tests.svckit.receiving import DOWN, SECONDS, Receiver, draining, numbered, opened, segments

ROOT = Path(__file__).resolve().parents[2]


# -- restarts ------------------------------------------------------------------


async def test_a_restart_goes_on_behind_what_was_delivered(
    folder: Path, receiver: Receiver
) -> None:
    outbox = opened(folder, receiver)
    async with draining(outbox):
        for record in numbered(3):
            outbox.append(record)
        assert await outbox.flush(SECONDS)
        receiver.error = DOWN
        for record in numbered(3, start=3):
            outbox.append(record)
    receiver.error = None
    again = opened(folder, receiver)
    assert again.pending_count() == 3
    again.append(b"record 6")
    async with draining(again):
        assert await again.flush(SECONDS)
    assert receiver.records == numbered(7)


async def test_records_of_an_earlier_process_count_as_everybodys(
    folder: Path, receiver: Receiver
) -> None:
    first = opened(folder, receiver)
    first.append(b"1", "conversation")
    first.close()
    again = opened(folder, receiver, linger_seconds=60)
    assert not await again.wait_delivered("conversation", 0.01)
    async with draining(again):
        assert await again.wait_delivered("conversation", SECONDS)
    assert receiver.records == [b"1"]


async def test_what_was_delivered_is_removed_from_the_disk(
    folder: Path, receiver: Receiver
) -> None:
    outbox = opened(folder, receiver, limit_bytes=4000)
    async with draining(outbox):
        for _ in range(20):
            for record in numbered(10):
                outbox.append(record)
            assert await outbox.flush(SECONDS)
        assert len(segments(folder)) == 1
    for _ in range(3):
        opened(folder, receiver).close()
    last = opened(folder, receiver)
    async with draining(last):
        last.append(b"last")
        assert await last.flush(SECONDS)
        assert len(segments(folder)) == 1
    assert receiver.records == numbered(10) * 20 + [b"last"]


async def test_a_lost_cursor_only_repeats_deliveries(folder: Path, receiver: Receiver) -> None:
    for content in (None, b"", b"\0" * 21, b"garbage"):
        receiver.batches.clear()
        outbox = opened(folder, receiver)
        outbox.append(b"1")
        outbox.close()
        cursor = folder / "cursor"
        cursor.unlink() if content is None else cursor.write_bytes(content)
        again = opened(folder, receiver)
        async with draining(again):
            assert await again.flush(SECONDS)
        assert b"1" in receiver.records


async def test_a_cursor_without_its_journal_hides_no_new_record(
    folder: Path, receiver: Receiver
) -> None:
    first = opened(folder, receiver)
    async with draining(first):
        for record in numbered(5):
            first.append(record)
        assert await first.flush(SECONDS)
    for segment in segments(folder):
        segment.unlink()
    receiver.batches.clear()
    second = opened(folder, receiver)
    for record in numbered(9, start=5):
        second.append(record)
    second.close()
    third = opened(folder, receiver)
    async with draining(third):
        assert await third.flush(SECONDS)
    assert receiver.records == numbered(9, start=5)


# -- crashes -------------------------------------------------------------------


@pytest.mark.parametrize("lost_bytes", [1, 8, 15])
async def test_a_record_cut_short_loses_only_itself_and_is_reported(
    folder: Path, receiver: Receiver, lost_bytes: int
) -> None:
    first = opened(folder, receiver)
    for record in numbered(3):
        first.append(record)
    first.close()
    (segment,) = segments(folder)
    os.truncate(segment, segment.stat().st_size - lost_bytes)
    with structlog.testing.capture_logs() as lines:
        again = opened(folder, receiver)
        again.append(b"record 3")
        async with draining(again):
            assert await again.flush(SECONDS)
    assert receiver.records == [b"record 0", b"record 1", b"record 3"]
    assert [line["bytes"] for line in lines if "cut short" in line["event"]] == [16 - lost_bytes]


async def test_zeros_behind_the_last_record_are_no_records(
    folder: Path, receiver: Receiver
) -> None:
    first = opened(folder, receiver)
    first.append(b"1")
    first.close()
    (segment,) = segments(folder)
    os.truncate(segment, segment.stat().st_size + 4096)
    again = opened(folder, receiver)
    assert again.pending_count() == 1
    async with draining(again):
        assert await again.flush(SECONDS)
    assert receiver.records == [b"1"]


async def test_a_journal_damaged_while_open_loses_records_but_not_the_service(
    folder: Path, receiver: Receiver
) -> None:
    outbox = opened(folder, receiver)
    for record in numbered(3):
        outbox.append(record)
    (segment,) = segments(folder)
    with segment.open("r+b") as file:
        file.seek(20)
        file.write(b"\xff" * 8)
    async with draining(outbox):
        assert await outbox.flush(SECONDS)
        outbox.append(b"record 3")
        assert await outbox.flush(SECONDS)
    assert receiver.records == [b"record 0", b"record 3"]
    assert outbox.dropped_count == 2


WRITER = """
import sys
from pathlib import Path
from svckit.outbox import Outbox

async def never(records):
    raise AssertionError

outbox = Outbox(
    "test", Path(sys.argv[1]), never, batch_size=10, limit_bytes=1 << 30, linger_seconds=0
)
number = 0
while True:
    outbox.append(b"record %d" % number)
    print(number, flush=True)
    number += 1
"""


async def test_kill_9_loses_nothing_that_was_appended(folder: Path, receiver: Receiver) -> None:
    count = await asyncio.to_thread(appended_before_kill_9, folder)
    outbox = opened(folder, receiver, batch_size=1000)
    async with draining(outbox):
        assert await outbox.flush(SECONDS)
    assert receiver.records[:count] == numbered(count)


def appended_before_kill_9(folder: Path) -> int:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}"},
    )
    assert writer.stdout
    with writer.stdout:
        told = [writer.stdout.readline() for _ in range(500)]
        writer.send_signal(signal.SIGKILL)
        told += writer.stdout.readlines()
    writer.wait(SECONDS)
    whole = [line for line in told if line.endswith(b"\n")]
    return int(whole[-1]) + 1
