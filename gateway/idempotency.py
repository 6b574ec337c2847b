"""`Idempotency-Key`: a request that is sent twice is answered once.

An answer is kept in memory under its request's key and is the answer of every other
request alike. While it is made the others wait for it; where it fails, or its client
leaves, the next one makes it. Failures are not kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from svckit.errors import ServiceError

IDEMPOTENCY_KEY = "Idempotency-Key"
KEPT_SECONDS = 24 * 3600.0
MAX_ANSWER_BYTES = 4 * 2**20
_MAX_ANSWERS = 1_000
_MAX_BYTES = 64 * 2**20
# A body up to here is hashed where it is: faster than handing it to a thread.
_SMALL_BYTES = 256 * 1024

# Whose a key is, and the key.
Name = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was sent, the headers of its own request left out."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Kept:
    digest: bytes
    answer: Answer
    since: float


@dataclass(frozen=True, slots=True)
class _Running:
    digest: bytes
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Answers:
    """Answers by their names, at most so many and so large together; the least used go first.

    `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        *,
        max_answers: int = _MAX_ANSWERS,
        max_bytes: int = _MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[Name, _Kept] = OrderedDict()
        self._bytes = 0
        self._running: dict[Name, _Running] = {}

    async def get(self, name: Name, digest: bytes) -> Answer | None:
        """Return the answer to the request of that digest, waiting for one that is made.

        None leaves it to the caller to make it: it enters `making` at once. Raises
        IDEMPOTENCY_CONFLICT where the name stands for another request.
        """
        while True:
            kept = self._fresh(name)
            if kept:
                _require_same(kept.digest, digest)
                return kept.answer
            running = self._running.get(name)
            if running is None:
                return None
            _require_same(running.digest, digest)
            await running.ended.wait()

    @contextmanager
    def making(self, name: Name, digest: bytes) -> Iterator[Callable[[Answer], None]]:
        """Let others wait while the answer is made; yields what keeps it."""
        running = self._running[name] = _Running(digest)
        try:
            yield lambda answer: self._keep(name, _Kept(digest, answer, self._clock()))
        finally:
            del self._running[name]
            running.ended.set()

    def _fresh(self, name: Name) -> _Kept | None:
        kept = self._kept.get(name)
        if kept is None:
            return None
        if self._clock() - kept.since > KEPT_SECONDS:
            self._drop(name)
            return None
        self._kept.move_to_end(name)
        return kept

    def _keep(self, name: Name, kept: _Kept) -> None:
        if len(kept.answer.body) > MAX_ANSWER_BYTES:
            return
        self._kept[name] = kept
        self._bytes += len(kept.answer.body)
        while len(self._kept) > self._max_answers or self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, name: Name) -> None:
        self._bytes -= len(self._kept.pop(name).answer.body)


async def digest_of(path: str, body: bytes) -> bytes:
    """Return what tells one request from another under the same key."""
    if len(body) <= _SMALL_BYTES:
        return _hashed(path, body)
    return await asyncio.to_thread(_hashed, path, body)


def _hashed(path: str, body: bytes) -> bytes:
    digest = hashlib.blake2b(path.encode("utf-8", "replace") + b"\0", digest_size=32)
    digest.update(body)
    return digest.digest()


def _require_same(one: bytes, other: bytes) -> None:
    if one != other:
        raise ServiceError(
            "IDEMPOTENCY_CONFLICT",
            f"the header {IDEMPOTENCY_KEY} came with another request before; send a new key, or "
            "the same path and body",
            field=IDEMPOTENCY_KEY,
        )
