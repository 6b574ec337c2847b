"""What promtool and Prometheus' naming rules ask of a page of metrics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
# Base units; of what has none, such a name ends differently.
_NO_BASE_UNITS = re.compile(
    r"_(ms|us|ns|milliseconds|microseconds|minutes|hours|days|kb|mb|gb|kilobytes|megabytes|"
    r"percent|bits|cents)(_|$)"
)
_SUFFIXES = ("_count", "_sum", "_bucket", "_total", "_info")
PERSONAL = ("user", "session", "conversation", "key", "project", "request_id")


def faults(page: str) -> Iterator[str]:
    """Yield in words what is wrong with a page, as far as it is lair's own."""
    described = set(re.findall(r"^# HELP (lair_\w+) \S", page, re.MULTILINE))
    typed = Counter(re.findall(r"^# TYPE (lair_\w+) ", page, re.MULTILINE))
    yield from (f"{name}: described twice" for name, count in typed.items() if count > 1)
    seen: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
    for family in text_string_to_metric_families(page):
        if not family.name.startswith("lair_"):
            continue
        written = f"{family.name}_total" if family.type == "counter" else family.name
        if written not in described or written not in typed:
            yield f"{written}: has no HELP or no TYPE"
        if not family.documentation.endswith("."):
            yield f"{written}: its HELP is no sentence"
        yield from _name_faults(family.name, family.type)
        for sample in family.samples:
            seen[sample.name, tuple(sorted(sample.labels.items()))] += 1
            for label in sample.labels:
                if not _NAME.fullmatch(label) or any(word in label for word in PERSONAL):
                    yield f"{sample.name}: the label {label}"
            if sample.value < 0:
                yield f"{sample.name}: {sample.value}"
    yield from (f"{series}: twice" for series, count in seen.items() if count > 1)
    loose = {line.split("{")[0].split(" ")[0] for line in page.splitlines() if line[:5] == "lair_"}
    yield from (f"{name}: belongs to nothing" for name in loose - {name for name, _ in seen})


def _name_faults(name: str, kind: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"{name}: is no name"
    if kind in ("unknown", "untyped"):
        yield f"{name}: has no type"
    if _NO_BASE_UNITS.search(name):
        yield f"{name}: is not in a base unit"
    if name.endswith(_SUFFIXES):
        yield f"{name}: ends as another type's series do"
    if kind == "histogram" and not name.endswith(("_seconds", "_bytes", "_tokens")):
        yield f"{name}: a histogram without a unit"
