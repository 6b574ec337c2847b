"""Lengths of time as people write them: `90s`, `30m`, `2h`, `1h30m`. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

from gateway.dialects.json_extra import wrong

_LENGTH = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_EXAMPLES = "a length of time like 90s, 30m, 2h or 1h30m"


def parse_duration(value: object, field: str, *, longest: timedelta) -> timedelta:
    """Read a length of time above zero. Raises INVALID_FIELD with `field`."""
    found = _LENGTH.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if not found:
        raise wrong(field, value, _EXAMPLES)
    days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not length:
        raise wrong(field, value, _EXAMPLES)
    if length > longest:
        raise wrong(field, value, f"at most {longest.days}d")
    return length
