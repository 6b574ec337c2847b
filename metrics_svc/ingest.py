"""Taking requests in: which can be counted, and counting them once.

The store keeps a request once, however often it is delivered; this module says
what is refused for good, and why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metrics_svc.labels import bounded
from metrics_svc.model import RequestRow

MAX_BATCH = 1000
MAX_AHEAD_US = 5 * 60 * 1_000_000
# Far above any real request, far enough below 2**63 for sums of a million of them.
MAX_NUMBER = 10**13
MAX_ERROR_LENGTH = 1000

_LABELS = (
    *("user", "project", "session", "conversation", "key", "client", "endpoint"),
    *("model_requested", "model_used", "backend", "error_reason", "finish_reason"),
)
# Numbers of a row, and what the contract calls them.
_NUMBERS = {
    "http_code": "http_status",
    "tool_calls": "tool_call_count",
    "new_messages": "new_message_count",
    "duration_us": "duration_us",
    "first_token_us": "first_token_us",
    "upstream_us": "upstream_us",
    "queue_us": "queue_us",
    "billed_nano": "billed_nano_usd",
    "device_watts": "device_watts",
}
_TOKENS = ("prompt", "completion", "total", "cached", "cache_write", "reasoning")


class RefusedError(Exception):
    """A request that can never be counted; the message says why."""


def countable(row: RequestRow, now_us: int) -> RequestRow:
    """Return `row` with its time and texts made fit to be stored. Raises `RefusedError`.

    A clock that is more than `MAX_AHEAD_US` ahead is wrong, and the request was real:
    it is counted as now, for a day to come would break streaks and reports.
    """
    if row.ts_us < 0:
        raise RefusedError("request_time is before 1970; check the sender's clock")
    for name, wire_name in _NUMBERS.items():
        _check_number(wire_name, getattr(row, name))
    for name in _TOKENS:
        _check_number(f"usage.{name}_tokens", getattr(row.tokens, name))
    for number, attempt in enumerate(row.attempts):
        _check_number(f"attempts[{number}].duration_us", attempt.duration_us)
        _check_number(f"attempts[{number}].http_status", attempt.http_code)
    labels: dict[str, Any] = {name: bounded(getattr(row, name)) for name in _LABELS}
    return replace(
        row,
        **labels,
        ts_us=row.ts_us if row.ts_us <= now_us + MAX_AHEAD_US else now_us,
        attempts=tuple(
            replace(
                attempt,
                backend=bounded(attempt.backend),
                model=bounded(attempt.model),
                error=attempt.error[:MAX_ERROR_LENGTH],
            )
            for attempt in row.attempts
        ),
    )


def _check_number(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= MAX_NUMBER:
        raise RefusedError(f"{name} is {value}; send 0 to {MAX_NUMBER}, or nothing if unknown")
