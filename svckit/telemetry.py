"""Counters of this process, in Prometheus' terms.

One module, so that every name and label is seen at once. Labels are bounded:
never a user, a conversation, a key, or a text from a client.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("lair_requests_total", "Finished requests.", ["endpoint", "backend", "status"])
REQUEST_SECONDS = Histogram(
    "lair_request_duration_seconds",
    "From arrival to the end of the answer.",
    ["backend"],
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600),
)
FIRST_TOKEN_SECONDS = Histogram(
    "lair_time_to_first_token_seconds",
    "From arrival to the first piece of an answer.",
    ["backend"],
    buckets=(0.005, 0.02, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
TOKENS = Counter("lair_tokens_total", "Tokens the backends counted.", ["type", "backend"])
IN_FLIGHT = Gauge("lair_inflight_requests", "Requests being answered.")
LOG_LINES_LOST = Counter("lair_log_lines_lost_total", "Log lines that standard error did not take.")
OUTBOX_PENDING = Gauge(
    "lair_outbox_pending_records", "Finished requests not yet delivered.", ["outbox"]
)
OUTBOX_DELIVERED = Counter("lair_outbox_delivered_total", "Records delivered.", ["outbox"])
OUTBOX_DROPPED = Counter(
    "lair_outbox_dropped_total", "Records given up: journal full, or refused for good.", ["outbox"]
)
