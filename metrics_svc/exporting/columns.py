"""What a file says of a request and of its attempts: names and values, in order.

Numbers are as they are kept, in the unit that the name ends with. None is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from metrics_svc.model import RequestRow

Value: TypeAlias = str | int | float | bool | None

# The contract's IdentitySource, by its numbers.
IDENTITY_SOURCES = (
    *("", "header", "key", "path", "client_header", "referer", "body", "prompt"),
    *("conversation", "client", "derived", "default"),
)

REQUEST = (
    *("request_id", "time", "local_time", "user_id", "project", "session_id"),
    *("conversation_id", "key_id", "client", "user_source", "project_source", "session_source"),
    *("endpoint", "origin", "requested_model", "model", "backend", "local"),
    *("status", "http_status", "error_reason", "finish_reason", "streamed"),
    *("tool_calls", "new_messages", "prompt_tokens", "completion_tokens", "total_tokens"),
    *("cached_tokens", "cache_write_tokens", "reasoning_tokens", "usage_source"),
    *("duration_us", "first_token_us", "upstream_us", "queue_us"),
    *("billed_nano_usd", "cost_nano_usd", "cost_source"),
    *("same_model_nano_usd", "replacement_nano_usd", "price_version"),
    *("device_watts", "retry_of", "attempts"),
)
ATTEMPT = (
    *("request_id", "time", "local_time", "number", "backend", "model"),
    *("status", "http_status", "duration_us", "error"),
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def request_values(row: RequestRow, zone: ZoneInfo) -> tuple[Value, ...]:
    """Return the values of `REQUEST`; `attempts` is how many there were."""
    tokens = row.tokens
    return (
        *(str(row.request_id), *_times(row.ts_us, zone), row.user, row.project, row.session),
        *(row.conversation, row.key, row.client),
        *(_source(it) for it in (row.user_source, row.project_source, row.session_source)),
        *(row.endpoint, row.origin.name.lower(), row.model_requested, row.model_used),
        *(row.backend, row.local, row.status.name.lower(), row.http_code or None),
        *(row.error_reason, row.finish_reason, row.streamed, row.tool_calls, row.new_messages),
        *(tokens.prompt, tokens.completion, tokens.total),
        *(tokens.cached, tokens.cache_write, tokens.reasoning, row.usage_source.name.lower()),
        *(row.duration_us, row.first_token_us, row.upstream_us, row.queue_us),
        *(row.billed_nano, row.cost_nano, row.cost_source.name.lower()),
        *(row.ref1_nano, row.ref2_nano, row.price_version, row.device_watts),
        *(str(row.retry_of) if row.retry_of else None, len(row.attempts)),
    )


def attempt_values(row: RequestRow, zone: ZoneInfo) -> Iterator[tuple[Value, ...]]:
    """Yield the values of `ATTEMPT` of each; times are those of the request."""
    request = (str(row.request_id), *_times(row.ts_us, zone))
    for number, attempt in enumerate(row.attempts, 1):
        yield (
            *(*request, number, attempt.backend, attempt.model, attempt.status.name.lower()),
            *(attempt.http_code or None, attempt.duration_us, attempt.error),
        )


def _times(ts_us: int, zone: ZoneInfo) -> tuple[str, str]:
    """Write a time by RFC 3339, in UTC and in the zone."""
    moment = _EPOCH + timedelta(microseconds=ts_us)
    local = moment.astimezone(zone)
    return (
        f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z",
        local.isoformat(timespec="microseconds"),
    )


def _source(number: int) -> str:
    # One beyond the list is of a newer lair.
    return IDENTITY_SOURCES[number] if number < len(IDENTITY_SOURCES) else ""
