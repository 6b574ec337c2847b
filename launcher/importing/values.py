"""Values out of other programs' JSON, which may hold anything: what does not fit is missing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]

# Of what a tool gave. It is there so that the conversation can go on, not to be found.
_MOST_OF_A_RESULT = 4000  # characters
_LAST_US = 4_102_444_800_000_000  # 2100: what is later was no time, or of another unit
_MILLISECONDS_FROM = 100_000_000_000  # as seconds, the year 5138
_NANOSECONDS_FROM = 100_000_000_000_000_000


def mapping(value: object) -> Json:
    """Return an object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def objects(value: object) -> list[Json]:
    """Return the objects of a list; none for anything else."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def text(value: object) -> str:
    """Return a text without the characters that no text should have; '' for anything else."""
    if not isinstance(value, str):
        return ""
    whole = value.replace("\0", "") if "\0" in value else value
    try:
        whole.encode()
    except UnicodeEncodeError:  # half of a pair, as of an emoji that was cut in two
        return whole.encode("utf-8", "replace").decode()
    return whole


def joined(texts: Iterable[str], by: str = "\n") -> str:
    """Join the texts that say something."""
    return by.join(each for each in texts if each.strip())


def number(value: object) -> int | None:
    """Return a count; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if math.isfinite(value) and value >= 0 else None


def time_us(value: object) -> int | None:
    """Return a time: seconds, milliseconds or nanoseconds since 1970, or ISO 8601."""
    if isinstance(value, str):
        return _iso_us(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if value >= _NANOSECONDS_FROM:
        us = int(value / 1000)
    elif value >= _MILLISECONDS_FROM:
        us = int(value * 1000)
    else:
        us = int(value * 1_000_000)
    return us if 0 < us < _LAST_US else None


def shortened(result: str) -> str:
    """Cut what a tool gave to what is kept of it."""
    over = len(result) - _MOST_OF_A_RESULT
    if over <= 0:
        return result
    return f"{result[:_MOST_OF_A_RESULT]}\n[{over} more characters were not imported]"


def written(arguments: object) -> str:
    """Return a call's arguments as text."""
    if isinstance(arguments, str):
        return text(arguments)
    return text(json.dumps(arguments, ensure_ascii=False, default=str))


def last_name(path: object) -> str:
    """Return the name of a folder, of whatever system; '' for none."""
    return text(path).replace("\\", "/").rstrip("/").rpartition("/")[2]


def _iso_us(value: str) -> int | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    us = round(moment.timestamp() * 1_000_000)
    return us if 0 < us < _LAST_US else None
