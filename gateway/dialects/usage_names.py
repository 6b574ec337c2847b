"""The names that a table of use is asked by, for `/openapi.json`.

metrics_svc decides which there are (`metrics_svc/reports/columns.py`); a test compares.
"""

from __future__ import annotations

DIMENSIONS = (
    *("user", "project", "key", "client", "endpoint", "model", "requested_model", "backend"),
    *("local", "status", "http_status", "error_reason", "streamed", "origin", "usage_source"),
    *("cost_source", "price_version"),
)
_PERCENTILES = tuple(
    f"{name}_p{percent}"
    for name in ("duration_ms", "first_token_ms", "queue_ms", "overhead_ms", "tokens_per_second")
    for percent in (50, 90, 95, 99)
)
MEASURES = (
    *("requests", "client_requests"),
    *("ok", "client_cancelled", "timeout", "rate_limited", "upstream_error", "no_backend"),
    *("invalid_request", "auth", "internal_error", "errors", "success_rate"),
    *("fallbacks", "attempts", "messages", "tool_calls"),
    *("tokens", "prompt_tokens", "fresh_tokens", "cached_tokens", "cache_write_tokens"),
    *("completion_tokens", "reasoning_tokens"),
    *("cost_usd", "unpriced", "same_model_usd", "replacement_usd"),
    *("users", "projects", "conversations", "sessions", "named_sessions", "inferred_sessions"),
    *("duration_ms", "first_token_ms", "queue_ms", "tokens_per_second"),
    *_PERCENTILES,
)
GRANULARITIES = (
    *("quarter", "hour", "day", "week", "month", "weekday", "hour_of_day", "hour_of_week"),
)
