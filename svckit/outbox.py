"""Deliver records to another service at least once, across crashes of either.

    append() ──▶ journal file ──▶ drain task ──▶ deliver(batch) ──▶ cursor moves on

`append` is one `write` to an append-only file: a few microseconds on the event
loop, and safe from the end of this process (not from a power cut). Receivers are
idempotent, so a batch whose acknowledgement was lost is simply sent again.

The journal is a folder of segments, `00000001.log` and so on; a record is its
length, its CRC-32 and its bytes. `cursor` holds the segment and offset of the
first record that is not delivered. Delivered segments are removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import zlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from svckit.errors import ServiceError
from svckit.logging import get_logger
from svckit.telemetry import OUTBOX_DELIVERED, OUTBOX_DROPPED, OUTBOX_PENDING

log = get_logger(__name__)

Deliver = Callable[[list[bytes]], Awaitable[None]]

_HEAD = struct.Struct("<II")
SEGMENT_BYTES = 4 * 1024 * 1024
_CURSOR = "{:010} {:010}"  # of fixed width, so that it is overwritten in one piece
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


class OutboxError(Exception):
    """The journal cannot be written; the message says why and what to do."""


class Outbox:
    """A journal of records and the task that delivers them; run `drain()` in a task group.

    `deliver` gets up to `batch_size` records in order. It returns once the
    receiver has them and raises `ServiceError`: with an `INVALID_…` reason where
    the receiver will never take the batch, with another where it may later.
    A batch that is not full goes out `linger_seconds` after its first record, at
    once where somebody waits. Beyond `limit_bytes` the oldest segment is dropped,
    counted and logged.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        deliver: Deliver,
        *,
        batch_size: int,
        limit_bytes: int,
        linger_seconds: float,
    ) -> None:
        self._name = name
        self._folder = folder
        self._deliver = deliver
        self._batch_size = batch_size
        self._limit = limit_bytes
        self._linger = linger_seconds
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._settled = asyncio.Condition()
        self._keys: deque[str] = deque()  # of the pending records, in order
        self._by_key: Counter[str] = Counter()
        self._pending_gauge = OUTBOX_PENDING.labels(name)
        self.dropped_count = 0
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(exist_ok=True, mode=0o700)
            self._segment, self._read_segment, self._offset = self._recover()
            self._file = self._open_segment()
            self._cursor = os.open(folder / "cursor", os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutboxError(
                f"cannot write {folder}: {error.strerror}; choose another data_dir in lair.toml"
            ) from error

    # -- writing ---------------------------------------------------------------

    def append(self, record: bytes, key: str = "") -> None:
        """Put `record` in the journal; `key` is what `wait_delivered` waits for.

        A record that the disk does not take is counted as dropped and logged: the
        answer it is about has been given all the same.
        """
        framed = _HEAD.pack(len(record), zlib.crc32(record)) + record
        try:
            written = os.write(self._file, framed)
        except OSError as error:
            log.error("cannot write the journal", outbox=self._name, error=error.strerror)  # noqa: TRY400
            written = 0
        self._written += written
        if written == len(framed):
            self._keys.append(key)
            self._by_key[key] += 1
            self._pending_gauge.set(len(self._keys))
            self._wake.set()
            if len(self._keys) >= self._batch_size:
                self._hurry.set()
        else:
            self._count_dropped(1)
        if self._written >= SEGMENT_BYTES or 0 < written < len(framed):
            self._roll()

    def pending_count(self) -> int:
        """Return how many records wait for delivery."""
        return len(self._keys)

    async def wait_delivered(self, key: str, timeout_seconds: float) -> bool:
        """Wait until no record of `key` is pending; tell whether that came true."""
        if not self._by_key.get(key):
            return True
        self._hurry.set()
        async with self._settled:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._settled.wait_for(lambda: not self._by_key.get(key))
            except TimeoutError:
                return False
        return True

    # -- delivering ------------------------------------------------------------

    async def drain(self) -> None:
        """Deliver for ever; cancel to stop."""
        failures = 0
        while True:
            await self._batch_due()
            try:
                await self._deliver_next()
            except (ServiceError, OSError) as error:
                if not failures:  # one line when it begins, one when it is over
                    log.warning("delivery waits", outbox=self._name, error=str(error))
                await asyncio.sleep(min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE))
                failures = min(failures + 1, 16)
            else:
                if failures:
                    log.info("delivery goes on", outbox=self._name, pending=len(self._keys))
                failures = 0

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing is pending; tell whether that came true."""
        self._hurry.set()
        async with self._settled:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._settled.wait_for(lambda: not self._keys)
            except TimeoutError:
                return False
        return True

    def close(self) -> None:
        """Close the journal; what is pending is delivered by the next process."""
        os.close(self._file)
        os.close(self._cursor)

    async def _batch_due(self) -> None:
        """Wait for a record, then for a full batch, the time limit or somebody in a hurry."""
        if not self._keys:
            self._wake.clear()
            self._hurry.clear()
            await self._wake.wait()
        if len(self._keys) < self._batch_size and not self._hurry.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger):
                    await self._hurry.wait()

    async def _deliver_next(self) -> None:
        records, segment, offset = self._read_batch()
        if records:
            await self._deliver_or_refuse(records)
        if (segment, offset) > (self._read_segment, self._offset):  # else dropped meanwhile
            self._advance(segment, offset, len(records))
        async with self._settled:
            self._settled.notify_all()

    async def _deliver_or_refuse(self, records: list[bytes]) -> None:
        try:
            await self._deliver(records)
        except ServiceError as error:
            if not error.reason.startswith("INVALID_"):
                raise
            if len(records) > 1:  # find the one at fault
                for record in records:
                    await self._deliver_or_refuse([record])
                return
            log.error("refused for good", outbox=self._name, error=error.message)  # noqa: TRY400
            self._count_dropped(1)
        else:
            OUTBOX_DELIVERED.labels(self._name).inc(len(records))

    # -- the journal -----------------------------------------------------------

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:08}.log"

    def _recover(self) -> tuple[int, int, int]:
        """Find where to write and where to read on; count what is pending."""
        segments = sorted(int(path.stem) for path in self._folder.glob("*.log"))
        cursor = self._folder / "cursor"
        reading, offset = segments[0] if segments else 1, 0
        if cursor.exists() and (saved := cursor.read_text().split()) and int(saved[0]) >= reading:
            reading, offset = int(saved[0]), int(saved[1])
        for segment in segments:
            if segment >= reading:
                start = offset if segment == reading else 0
                count = len(_parse(self._path(segment), start)[0])
                self._keys.extend([""] * count)
                self._by_key[""] += count
        # Never append behind a record that a crash cut short: begin a new segment.
        return (segments[-1] + 1 if segments else reading), reading, offset

    def _open_segment(self) -> int:
        self._written = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.open(self._path(self._segment), flags, 0o600)

    def _roll(self) -> None:
        os.close(self._file)
        self._segment += 1
        self._file = self._open_segment()
        self._drop_beyond_limit()

    def _drop_beyond_limit(self) -> None:
        while (self._segment - self._read_segment) * SEGMENT_BYTES > self._limit:
            lost = len(_parse(self._path(self._read_segment), self._offset)[0])
            log.error("journal full, oldest records dropped", outbox=self._name, count=lost)
            self._count_dropped(lost)
            self._advance(self._read_segment + 1, 0, lost)

    def _count_dropped(self, count: int) -> None:
        self.dropped_count += count
        OUTBOX_DROPPED.labels(self._name).inc(count)

    def _read_batch(self) -> tuple[list[bytes], int, int]:
        """Return the next records and the place behind them."""
        segment, offset = self._read_segment, self._offset
        while True:
            path = self._path(segment)
            records, end = _parse(path, offset, self._batch_size)
            if records or segment >= self._segment:
                return records, segment, end
            if path.exists() and (left := path.stat().st_size - end):
                log.warning("journal cut short by a crash", outbox=self._name, bytes=left)
            segment, offset = segment + 1, 0

    def _advance(self, segment: int, offset: int, count: int) -> None:
        passed = range(self._read_segment, segment)
        self._read_segment, self._offset = segment, offset
        os.pwrite(self._cursor, _CURSOR.format(segment, offset).encode(), 0)
        for old in passed:
            self._path(old).unlink(missing_ok=True)
        for _ in range(min(count, len(self._keys))):
            key = self._keys.popleft()
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]
        self._pending_gauge.set(len(self._keys))


def _parse(path: Path, offset: int, most: int | None = None) -> tuple[list[bytes], int]:
    """Read whole records from `offset`; stop at the end or at a record cut short."""
    records: list[bytes] = []
    if not path.exists():
        return records, offset
    with path.open("rb") as file:
        file.seek(offset)
        while most is None or len(records) < most:
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                break
            length, checksum = _HEAD.unpack(head)
            record = file.read(length)
            if len(record) < length or zlib.crc32(record) != checksum:
                break
            records.append(record)
            offset += _HEAD.size + length
    return records, offset
