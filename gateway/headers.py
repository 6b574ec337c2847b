"""The headers that tell a client who answered, why, and what memory did."""

from __future__ import annotations

import re

from lair.router.v1.chat_pb2 import MemoryOutcome, Route

_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\xff]")


def printable(value: str) -> str:
    """Make a text fit for a header: one line, and nothing outside Latin-1."""
    return _UNPRINTABLE.sub("?", value)


def outcome_headers(route: Route, memory: MemoryOutcome) -> dict[str, str]:
    """Return the headers of an answer; a header without a value is left out."""
    headers = {
        "x-conversation-id": memory.conversation_id,
        "x-lair-backend": route.backend,
        "x-lair-model": route.model,
        "x-lair-route": route.reason,
        "x-lair-fallbacks": str(route.fallback_count),
        "x-lair-memory": memory_summary(memory),
    }
    return {name: printable(value) for name, value in headers.items() if value}


def memory_summary(memory: MemoryOutcome) -> str:
    """Say in a few words what memory did: `history=4`, and why it did less, or `off`."""
    parts = []
    if memory.history_count or (memory.conversation_id and not memory.degraded):
        parts.append(f"history={memory.history_count}")
    if memory.recall_count:
        parts.append(f"recall={memory.recall_count}")
    if memory.degraded:
        parts.append(memory.degraded)
    return ", ".join(parts) or "off"
