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
import fcntl
import os
import struct
import zlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from svckit.errors import ServiceError
from svckit.folders import make_private_folder
from svckit.logging import get_logger
from svckit.telemetry import OUTBOX_DELIVERED, OUTBOX_DROPPED, OUTBOX_PENDING

log = get_logger(__name__)

Deliver = Callable[[list[bytes]], Awaitable[None]]

_HEAD = struct.Struct("<II")
SEGMENT_BYTES = 4 * 1024 * 1024
_CURSOR = "{:010} {:010}"  # of fixed width, so that it is overwritten in one piece
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_RECOVERED = "\0"  # the key of records that an earlier process left behind
_REFUSALS = ("INVALID_FIELD", "INVALID_BODY", "BODY_TOO_LARGE")


class OutboxError(Exception):
    """The journal cannot be written; the message says why and what to do."""


class Outbox:
    """A journal of records and the task that delivers them; run `drain()` in a task group.

    `deliver` gets up to `batch_size` records in order. It returns once the
    receiver has them and raises `ServiceError`: with an `INVALID_…` reason or
    `BODY_TOO_LARGE` where the receiver will never take the batch, with another
    where it may later.
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
        self.name = name
        self._folder = folder
        self._deliver = deliver
        self._batch_size = batch_size
        self._limit = limit_bytes
        self._segment_bytes = min(SEGMENT_BYTES, limit_bytes // 4)
        self._linger = linger_seconds
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()  # a batch is full, or somebody waits
        self._hurried = 0  # how many wait
        self._settled = asyncio.Condition()
        self._keys: deque[str] = deque()  # of the pending records, in order
        self._by_key: Counter[str] = Counter()
        OUTBOX_PENDING.labels(name).set_function(lambda: len(self._keys))
        for counter in (OUTBOX_DELIVERED, OUTBOX_DROPPED):
            counter.labels(name)  # there from the beginning, so that the first one is a rise
        self._suspects = 0  # records of a refused batch that go one by one
        self.dropped_count = 0
        try:
            make_private_folder(folder)
            self._lock = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutboxError(
                    f"another lair uses {folder}; stop it, or choose another data_dir"
                ) from error
            self._segment, self._read_segment, self._offset = self._recover()
            self._file, self._written = self._open_segment(self._segment), 0
            self._cursor = os.open(folder / "cursor", os.O_WRONLY | os.O_CREAT, 0o600)
            self._save_cursor()
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
        if self._write(_HEAD.pack(len(record), _checksum(record)) + record):
            self._keys.append(key)
            self._by_key[key] += 1
            self._wake.set()
            if len(self._keys) >= self._batch_size:
                self._hurry.set()
        else:
            self._count_dropped(1)
        if self._written >= self._segment_bytes:
            self._roll()

    def pending_count(self) -> int:
        """Return how many records wait for delivery."""
        return len(self._keys)

    async def wait_delivered(self, key: str, timeout_seconds: float) -> bool:
        """Wait until no record of `key` is pending; tell whether that came true.

        Nobody knows the keys of records that an earlier process left behind, so
        they count as everybody's.
        """

        def is_delivered() -> bool:
            return not self._by_key.get(key) and not self._by_key.get(_RECOVERED)

        return is_delivered() or await self._come_true(is_delivered, timeout_seconds)

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
                    log.warning("delivery waits", outbox=self.name, error=str(error))
                await asyncio.sleep(min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE))
                failures = min(failures + 1, 16)
            else:
                if failures:
                    log.info("delivery goes on", outbox=self.name, pending=len(self._keys))
                failures = 0

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing is pending; tell whether that came true."""
        return await self._come_true(lambda: not self._keys, timeout_seconds)

    async def _come_true(self, condition: Callable[[], bool], timeout_seconds: float) -> bool:
        """Deliver without lingering until `condition` holds; tell whether it came to hold."""
        self._hurried += 1
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout_seconds), self._settled:
                await self._settled.wait_for(condition)
        except TimeoutError:
            return False
        finally:
            self._hurried -= 1
        return True

    def close(self) -> None:
        """Close the journal; what is pending is delivered by the next process."""
        os.close(self._file)
        os.close(self._cursor)
        os.close(self._lock)

    async def _batch_due(self) -> None:
        """Wait for a record, then for a full batch, the time limit or somebody in a hurry."""
        if not self._keys:
            self._wake.clear()
            await self._wake.wait()
        self._hurry.clear()
        if len(self._keys) < self._batch_size and not (self._hurried or self._suspects):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger):
                    await self._hurry.wait()

    async def _deliver_next(self) -> None:
        records, segment, offset = self._read_batch(1 if self._suspects else self._batch_size)
        if records and not await self._is_settled(records):
            self._suspects = len(records)
            return
        if not records and self._keys:
            self._give_up_unreadable()
        self._suspects = max(0, self._suspects - len(records))
        if (segment, offset) > (self._read_segment, self._offset):  # else dropped meanwhile
            self._advance(segment, offset, len(records))
        async with self._settled:
            self._settled.notify_all()

    async def _is_settled(self, records: list[bytes]) -> bool:
        """Deliver; say no where the batch is refused and must be sent one by one."""
        try:
            await self._deliver(records)
        except ServiceError as error:
            if error.reason not in _REFUSALS:
                raise
            if len(records) > 1:
                return False
            log.error("refused for good", outbox=self.name, error=error.message)  # noqa: TRY400
            self._count_dropped(1)
        else:
            OUTBOX_DELIVERED.labels(self.name).inc(len(records))
        return True

    # -- the journal -----------------------------------------------------------

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:08}.log"

    def _recover(self) -> tuple[int, int, int]:
        """Find where to write and where to read on; count what is pending."""
        segments = sorted(int(path.stem) for path in self._folder.glob("*.log"))
        if not segments:
            return 1, 1, 0
        reading, offset = self._saved_cursor()
        if reading not in segments:
            reading, offset = segments[0], 0
        for segment in segments:
            if segment < reading:  # a crash came between cursor and removal
                self._path(segment).unlink()
                continue
            count = len(_parse(self._path(segment), offset if segment == reading else 0)[0])
            self._keys.extend([_RECOVERED] * count)
            self._by_key[_RECOVERED] += count
        # Never append behind a record that a crash cut short: begin a new segment.
        return segments[-1] + 1, reading, offset

    def _saved_cursor(self) -> tuple[int, int]:
        """Read the cursor; one that is missing or damaged only costs repeated deliveries."""
        try:
            segment, offset = (self._folder / "cursor").read_bytes().split()
            return int(segment), int(offset)
        except (FileNotFoundError, ValueError):
            return 0, 0

    def _save_cursor(self) -> None:
        os.pwrite(self._cursor, _CURSOR.format(self._read_segment, self._offset).encode(), 0)

    def _open_segment(self, segment: int) -> int:
        return os.open(self._path(segment), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _write(self, framed: bytes) -> bool:
        try:
            written = os.write(self._file, framed)
            if written == len(framed):
                self._written += written
                return True
            os.ftruncate(self._file, self._written)  # the next record begins where this one did
            reason = "the disk is full"
        except OSError as error:
            reason = error.strerror or str(error)
        log.error("cannot write the journal", outbox=self.name, error=reason)
        return False

    def _roll(self) -> None:
        try:
            file = self._open_segment(self._segment + 1)
        except OSError as error:  # go on in the old one
            log.error("cannot write the journal", outbox=self.name, error=error.strerror)  # noqa: TRY400
            return
        os.close(self._file)
        self._file, self._written = file, 0
        self._segment += 1
        self._drop_beyond_limit()

    def _bytes_on_disk(self) -> int:
        return sum(path.stat().st_size for path in self._folder.glob("*.log"))

    def _drop_beyond_limit(self) -> None:
        while self._read_segment < self._segment and self._bytes_on_disk() > self._limit:
            lost = len(_parse(self._path(self._read_segment), self._offset)[0])
            log.error("journal full, oldest records dropped", outbox=self.name, count=lost)
            self._count_dropped(lost)
            self._advance(self._read_segment + 1, 0, lost)

    def _count_dropped(self, count: int) -> None:
        self.dropped_count += count
        OUTBOX_DROPPED.labels(self.name).inc(count)

    def _give_up_unreadable(self) -> None:
        """Count what is pending and cannot be read as dropped; go on behind it."""
        lost = len(self._keys)
        log.error("journal damaged, records lost", outbox=self.name, count=lost)
        self._count_dropped(lost)
        self._roll()
        self._advance(self._segment, 0, lost)

    def _read_batch(self, most: int) -> tuple[list[bytes], int, int]:
        """Return the next records, at most `most`, and the place behind them."""
        segment, offset = self._read_segment, self._offset
        while True:
            path = self._path(segment)
            records, end = _parse(path, offset, most)
            if records or segment >= self._segment:
                return records, segment, end
            if path.exists() and (left := path.stat().st_size - end):
                log.warning("journal cut short by a crash", outbox=self.name, bytes=left)
            segment, offset = segment + 1, 0

    def _advance(self, segment: int, offset: int, count: int) -> None:
        passed = range(self._read_segment, segment)
        self._read_segment, self._offset = segment, offset
        self._save_cursor()
        for old in passed:
            self._path(old).unlink(missing_ok=True)
        for _ in range(min(count, len(self._keys))):
            key = self._keys.popleft()
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]
        if not self._keys and self._written:
            self._forget_delivered()

    def _forget_delivered(self) -> None:
        """Leave nothing of what is delivered on the disk: who deletes it there means here too."""
        self._roll()
        if self._read_segment < self._segment:
            delivered = range(self._read_segment, self._segment)
            self._read_segment, self._offset = self._segment, 0
            self._save_cursor()
            for segment in delivered:
                self._path(segment).unlink(missing_ok=True)


def _checksum(record: bytes) -> int:
    return zlib.crc32(record, 1)  # not from 0, or a run of zeros would be empty records


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
            if len(record) < length or _checksum(record) != checksum:
                break
            records.append(record)
            offset += _HEAD.size + length
    return records, offset
