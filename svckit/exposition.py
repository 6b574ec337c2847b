"""The counters of lair as one page that Prometheus reads, whatever processes it consists of.

What processes count of the same thing is added up; of another process only what is
lair's own, as its memory and threads are nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import uuid4

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Names this process, until it ends.
PROCESS_ID = uuid4().hex
_OURS = "lair_"

_Key = tuple[str, tuple[tuple[str, str], ...]]


def exposition() -> bytes:
    """Return the figures of this process."""
    return generate_latest()


def merged(others: Iterable[bytes]) -> bytes:
    """Return the figures of this process with those of others added."""
    page = _Page(REGISTRY.collect())
    for text in others:
        families = text_string_to_metric_families(text.decode())
        page.add(family for family in families if family.name.startswith(_OURS))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(page)
    return generate_latest(registry)


class _Page(Collector):
    """Families of metrics, each with every series once."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families: dict[str, tuple[Metric, dict[_Key, float]]] = {}
        self.add(families)

    def add(self, families: Iterable[Metric]) -> None:
        """Add the values of what is there already, and what is new."""
        for family in families:
            _, values = self._families.setdefault(family.name, (family, {}))
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                values[key] = values.get(key, 0.0) + sample.value

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        for family, values in self._families.values():
            whole = Metric(family.name, family.documentation, family.type)
            for (name, labels), value in values.items():
                whole.add_sample(name, dict(labels), value)
            yield whole
