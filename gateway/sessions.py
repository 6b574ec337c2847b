"""Sessions of clients that name none: the same chat, until nobody went on with it for a while.

Kept in memory: another process of the gateway, or the next one, begins new sessions.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web

# The pause that ends a sitting, as metrics_svc measures it where it knows no session.
PAUSE_SECONDS = 30 * 60
MAX_SESSIONS = 10_000


class Sessions:
    """The sessions of chats by what the chats begin with; `clock` is monotonic, in seconds."""

    def __init__(
        self, *, limit: int = MAX_SESSIONS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._clock = clock
        # By fingerprint: the session's name, and when it was last heard of.
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def name(self, fingerprint: bytes) -> str:
        """Return the session of a chat that goes on now; a new one after a pause."""
        now = self._clock()
        name, last = self._known.pop(fingerprint, ("", now))
        if not name or now - last > PAUSE_SECONDS:
            name = f"auto-{fingerprint.hex()}-{time.time_ns() // 1_000_000:x}"
        self._known[fingerprint] = (name, now)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return name


SESSIONS = web.AppKey("sessions", Sessions)
