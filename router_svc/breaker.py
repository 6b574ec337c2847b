"""When a backend that keeps failing is asked last, and when it is tried again. Pure.

A breaker only ever changes the order: a resting backend stays a candidate, so who has
one backend never meets a cooldown. Faults of clients, cancellations and refusals of a
request do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

FAILURES_TO_OPEN = 3
FIRST_REST_SECONDS = 2.0
LONGEST_REST_SECONDS = 60.0


@dataclass(slots=True)
class Breaker:
    """What is remembered of one backend; times are of one monotonic clock, in seconds.

    Closed, open (`rest_until` ahead), or half open: after the rest one request may try
    it, and its outcome decides.
    """

    failures: int = 0
    rest_until: float = 0.0
    rests: int = 0
    trying: bool = False
    asked_for_time: bool = False

    def resting(self, now: float) -> str:
        """Say why the backend is asked last; empty if it is not."""
        if now < self.rest_until:
            left = self.rest_until - now
            why = "asked for time" if self.asked_for_time else "failed repeatedly"
            return f"{why}, rests for {left:.0f} s"
        if self.rests and self.trying:
            return "failed repeatedly, is being tried again"
        return ""

    def begin(self, now: float) -> None:
        """Note that a request is sent: after a rest it is the trial."""
        if self.rests and now >= self.rest_until:
            self.trying = True

    def succeeded(self) -> None:
        """Note an answer: all is forgotten."""
        self.failures = self.rests = 0
        self.rest_until = 0.0
        self.trying = self.asked_for_time = False

    def failed(self, now: float) -> None:
        """Note a failure of the backend; a failed trial, or one too many, begins a rest."""
        self.failures += 1
        if self.trying or self.failures >= FAILURES_TO_OPEN:
            seconds = min(FIRST_REST_SECONDS * 2**self.rests, LONGEST_REST_SECONDS)
            self._rest(now + seconds, asked=False)

    def asked(self, now: float, seconds: float) -> None:
        """Note that the backend wants no request for `seconds` (Retry-After)."""
        self._rest(now + min(seconds, LONGEST_REST_SECONDS), asked=True)

    def ended(self) -> None:
        """Note an outcome that says nothing about the backend, as of a client that left."""
        self.trying = False

    def _rest(self, until: float, *, asked: bool) -> None:
        self.rest_until = max(self.rest_until, until)
        self.rests += 1
        self.trying = False
        self.asked_for_time = asked
