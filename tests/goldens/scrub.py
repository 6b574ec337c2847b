"""Take out of recorded requests what tells of the machine and the moment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# Random ids, and what each becomes with a number in it: the same id is the same number.
_IDS = (
    (
        re.compile(
            r"(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])"
        ),
        "00000000-0000-7000-8000-{:012d}",
    ),
    (re.compile(r"\bses_[0-9a-zA-Z]{12,}\b"), "ses_{:026d}"),
)
_MOMENTS = (
    (re.compile(r"\b20\d\d-\d\d-\d\d\b"), "2026-01-01"),
    (re.compile(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} \d\d 20\d\d\b"), "Thu Jan 01 2026"),
    (re.compile(r"(_unix_ms\W+)\d{13}\b"), r"\g<1>1767225600000"),
    (re.compile(r"(Wall time: )[\d.]+"), r"\g<1>0.1"),
    (re.compile(r"(Chunk ID: )[0-9a-f]+"), r"\g<1>000001"),
)
_SYSTEM = (re.compile(r"\(\w+ [\d.]+; \w+\) \w+ \("), "(Linux 6.0.0; x86_64) unknown (")


def scrubbed(requests: list[dict[str, Any]], places: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return `requests` with `places` replaced, ids numbered and moments fixed."""
    text = json.dumps(requests, ensure_ascii=False)
    for found, shown in sorted(places.items(), key=lambda place: -len(place[0])):
        text = text.replace(found, shown)
    for pattern, shown in (*_MOMENTS, _SYSTEM):
        text = pattern.sub(shown, text)
    for pattern, form in _IDS:
        numbers: dict[str, int] = {}
        text = pattern.sub(
            lambda found, form=form, numbers=numbers: form.format(
                numbers.setdefault(found[0], len(numbers) + 1)
            ),
            text,
        )
    return json.loads(text)
