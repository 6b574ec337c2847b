"""Taking requests in: which can be counted, and counting them once.

The store keeps a request once, however often it is delivered; this module says
what is refused for good, and why.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from operator import attrgetter
from typing import Any

from metrics_svc.labels import bounded
from metrics_svc.model import Attempt, RequestRow

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
    "tokens.prompt": "usage.prompt_tokens",
    "tokens.completion": "usage.completion_tokens",
    "tokens.total": "usage.total_tokens",
    "tokens.cached": "usage.cached_tokens",
    "tokens.cache_write": "usage.cache_write_tokens",
    "tokens.reasoning": "usage.reasoning_tokens",
}
_labels_of = attrgetter(*_LABELS)
_numbers_of = attrgetter(*_NUMBERS)


class RefusedError(Exception):
    """A request that can never be counted; the message says why."""


def countable(row: RequestRow, now_us: int) -> RequestRow:
    """Return `row` with its time and texts made fit to be stored. Raises `RefusedError`.

    A clock that is more than `MAX_AHEAD_US` ahead is wrong, and the request was real:
    it is counted as now, for a day to come would break streaks and reports.
    """
    if row.ts_us < 0:
        raise RefusedError("request_time is before 1970; check the sender's clock")
    numbers = _numbers_of(row)
    known = [number for number in numbers if number is not None]
    # What is no number is in every sum, but not in every comparison.
    if not isfinite(sum(known)) or min(known) < 0 or max(known) > MAX_NUMBER:
        raise next(
            _refusal(wire_name, number)
            for wire_name, number in zip(_NUMBERS.values(), numbers, strict=True)
            if number is not None and not 0 <= number <= MAX_NUMBER
        )
    attempts = tuple(_countable(attempt, at) for at, attempt in enumerate(row.attempts))
    sent = _labels_of(row)
    labels = tuple(map(bounded, sent))
    ts_us = row.ts_us if row.ts_us <= now_us + MAX_AHEAD_US else now_us
    # Making a row anew takes longer than all the rest, and hardly any needs it.
    if labels == sent and ts_us == row.ts_us and attempts == row.attempts:
        return row
    changed: dict[str, Any] = dict(zip(_LABELS, labels, strict=True))
    return replace(row, ts_us=ts_us, attempts=attempts, **changed)


def _countable(attempt: Attempt, at: int) -> Attempt:
    for name, number in (("duration_us", attempt.duration_us), ("http_status", attempt.http_code)):
        if not 0 <= number <= MAX_NUMBER:
            raise _refusal(f"attempts[{at}].{name}", number)
    backend, model = bounded(attempt.backend), bounded(attempt.model)
    error = attempt.error[:MAX_ERROR_LENGTH]
    if (backend, model, error) == (attempt.backend, attempt.model, attempt.error):
        return attempt
    return replace(attempt, backend=backend, model=model, error=error)


def _refusal(name: str, value: float) -> RefusedError:
    return RefusedError(f"{name} is {value}; send 0 to {MAX_NUMBER}, or nothing if unknown")
