"""Times as a person near this machine reads them."""

from __future__ import annotations

from datetime import datetime


def local_time(rfc3339: str) -> str:
    """Write a time of lair's JSON as `14:05`, with its day where that is not today."""
    moment = datetime.fromisoformat(rfc3339).astimezone()
    today = moment.date() == datetime.now().astimezone().date()
    return f"{moment:%H:%M}" if today else f"{moment:%Y-%m-%d %H:%M}"
