"""Counters of this process, in Prometheus' terms.

One module, so that every name and label is seen at once. Labels are bounded: never a
user, a conversation, a key, or a text from a client. docs/metrics-export.md explains
each; how the figures of several processes become one page is `exposition.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import (
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

# When a counter began says nothing, and is half of all series.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations

REQUESTS = Counter(
    "lair_requests_total", "Finished requests.", ["endpoint", "model", "backend", "status"]
)
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
OVERHEAD_SECONDS = Histogram(
    "lair_overhead_seconds",
    "What lair took of a request: without its backends, and without the wait for a device.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1),
)
TOKENS = Counter("lair_tokens_total", "Tokens the backends told.", ["type", "model", "backend"])
FALLBACKS = Counter(
    "lair_fallbacks_total",
    "Tries that failed before another backend was asked.",
    ["from", "to", "reason"],
)
IN_FLIGHT = Gauge("lair_inflight_requests", "Requests being answered.")
LOG_LINES_LOST = Counter("lair_log_lines_lost_total", "Log lines that standard error did not take.")
OUTBOX_PENDING = Gauge(
    "lair_outbox_pending_records", "Finished requests not yet delivered.", ["outbox"]
)
OUTBOX_DELIVERED = Counter("lair_outbox_delivered_total", "Records delivered.", ["outbox"])
OUTBOX_DROPPED = Counter(
    "lair_outbox_dropped_total", "Records given up: journal full, or refused for good.", ["outbox"]
)
DB_BYTES = Gauge(
    "lair_db_size_bytes", "Size of a database with its log, by the name of its file.", ["database"]
)
SERVICE_UP = Gauge("lair_service_up", "Whether a service of lair tells its figures.", ["service"])
OTLP_LOST = Counter("lair_otlp_lost_requests_total", "Requests that no collector was told of.")


class Totals(Collector):
    """A counter by one label whose values are known elsewhere, and set from there."""

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self._name, self._documentation, self._label = name, documentation, label
        self._values: Mapping[str, float] = {}
        REGISTRY.register(self)

    def set(self, values: Mapping[str, float]) -> None:
        """Take `values` for those of each label."""
        self._values = values

    def collect(self) -> Iterator[Metric]:
        """Yield the values, if there are any."""
        family = CounterMetricFamily(self._name, self._documentation, labels=[self._label])
        for value, total in self._values.items():
            family.add_metric([value], total)
        if family.samples:
            yield family


COST_USD = Totals("lair_cost_usd_total", "Known costs of all requests counted so far.", "backend")
UNPRICED = Totals(
    "lair_unpriced_requests_total", "Requests counted so far whose cost is unknown.", "backend"
)


class _MetricsQueue(Collector):
    """The journal for metrics, by names of its own: what is not yet, or never, counted."""

    def collect(self) -> Iterator[Metric]:
        waiting, dropped = _of_metrics(OUTBOX_PENDING), _of_metrics(OUTBOX_DROPPED)
        if waiting is not None:
            yield GaugeMetricFamily(
                "lair_metrics_queue_length", "Finished requests not yet counted.", waiting
            )
            yield CounterMetricFamily(
                "lair_metrics_dropped_total", "Finished requests never counted.", dropped or 0
            )


def _of_metrics(outboxes: Gauge | Counter) -> float | None:
    for family in outboxes.collect():
        for sample in family.samples:
            if sample.labels["outbox"] == "metrics":
                return sample.value
    return None


REGISTRY.register(_MetricsQueue())
