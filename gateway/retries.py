"""Client libraries send again by themselves what failed; to the person it is one request.

OpenAI's and Anthropic's SDKs number their tries in a header. A try after the first is
recognised as the repetition of one that failed shortly before by what it consists of,
and says so to the router, so that metrics count both as one.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.client_names import read_client
from gateway.context import key_of, request_id_of
from gateway.identity import header_value
from svckit.errors import ServiceError

RETRY_COUNT = "X-Stainless-Retry-Count"
# SDKs wait at most 8 seconds, or as long as they are told.
KEPT_SECONDS = 120.0
MAX_FAILURES = 2_000
# Of a longer body only both ends are looked at, for hashing holds up everybody.
_HASHED_BYTES = 256 * 1024
# What SDKs send again: these, and everything from 500 on.
_REPEATED = (408, 409, 429)
_SERVER_ERROR = 500

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Failures:
    """Requests that failed lately, by what they consist of; `clock` is monotonic, in seconds."""

    def __init__(
        self, *, limit: int = MAX_FAILURES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._clock = clock
        # The oldest first, both: who forgets takes from the front.
        self._failed: dict[bytes, deque[str]] = {}
        self._order: deque[tuple[float, bytes, str]] = deque()

    def note(self, fingerprint: bytes, request_id: str) -> None:
        """Note that a request failed, and may be sent again."""
        self._failed.setdefault(fingerprint, deque()).append(request_id)
        self._order.append((self._clock(), fingerprint, request_id))
        self._forget_old()

    def take(self, fingerprint: bytes) -> str:
        """Return the id of the oldest one alike, which is then repeated; empty if there is none."""
        self._forget_old()
        alike = self._failed.get(fingerprint)
        if not alike:
            return ""
        request_id = alike.popleft()
        if not alike:
            del self._failed[fingerprint]
        return request_id

    def _forget_old(self) -> None:
        before = self._clock() - KEPT_SECONDS
        while self._order and (self._order[0][0] < before or len(self._order) > self._limit):
            _, fingerprint, request_id = self._order.popleft()
            alike = self._failed.get(fingerprint)
            if alike and alike[0] == request_id:  # else it was repeated
                alike.popleft()
                if not alike:
                    del self._failed[fingerprint]


FAILURES = web.AppKey("failures", Failures)
_REPEATED_BY = web.RequestKey("retry_of", str)


async def answer_noting_failure(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have a request answered that its client may send again, or does."""
    body = await request.read()
    failures = request.app[FAILURES]
    if request.headers[RETRY_COUNT] not in ("", "0"):
        request[_REPEATED_BY] = failures.take(_fingerprint(request, body))
    try:
        return await handler(request)
    except (Exception, asyncio.CancelledError) as error:
        if _is_sent_again(error):
            failures.note(_fingerprint(request, body), request_id_of(request))
        raise


def repeated_by(request: web.Request) -> str:
    """Return the id of the request that this one repeats; empty if it is the first."""
    found: str = request.get(_REPEATED_BY, "")
    return found


def _is_sent_again(error: BaseException) -> bool:
    match error:
        case ServiceError():
            status = error.meaning.http
        case web.HTTPException():
            status = error.status
        case web.RequestPayloadError():
            return False
        case _:  # a fault of ours, or the connection was cut
            return True
    return status in _REPEATED or status >= _SERVER_ERROR


def _fingerprint(request: web.Request, body: bytes) -> bytes:
    key = key_of(request)
    owner = (key.id if key else "", header_value(request.headers, "X-User-ID"))
    digest = hashlib.blake2b(digest_size=16)
    for text in (*owner, read_client(request.headers), request.path):
        digest.update(text.encode("utf-8", "replace") + b"\0")
    if len(body) > _HASHED_BYTES:
        half = _HASHED_BYTES // 2
        body = b"%d:%b%b" % (len(body), body[:half], body[-half:])
    digest.update(body)
    return digest.digest()
