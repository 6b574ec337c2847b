"""lair's own headers: what each means, and those that tell a client who answered and why."""

from __future__ import annotations

import re

from lair.router.v1.chat_pb2 import MemoryOutcome, Route

REQUEST_HEADERS = {
    "X-Provider": "the only backend to ask",
    "X-Model": "the model to ask, whatever the body says",
    "X-Local-Only": "true: never leave the house",
    "X-Priority": "the class the request waits in: interactive, agent or batch",
    "X-Max-Context": "how many tokens the prompt may have at most; older turns are left out",
    "X-Conversation-ID": "keep this conversation, and put its history in front",
    "X-Enable-Memory": "true: keep and recall, false: neither",
    "X-Memory-Policy": "what memory does: off, store, recall or full",
    "X-User-ID": "whose the request is",
    "X-Project": "which project of theirs it belongs to",
    "X-Session-ID": "which session; Session-ID and Thread-ID mean the same",
    "X-Enable-Tracing": "false: leave no record",
    "Idempotency-Key": "sent again with the same body within a day, the answer is the same",
    "X-Request-ID": "the client's own name for the request; comes back as x-client-request-id",
}
RESPONSE_HEADERS = {
    "x-request-id": "the request's id, also in logs and records",
    "x-client-request-id": "the client's own name for the request",
    "openai-processing-ms": "how long it took until the reply began",
    "openai-version": "the version of OpenAI's API that is spoken",
    "openai-organization": "as it was sent",
    "x-conversation-id": "the conversation the request belongs to",
    "x-should-retry": "whether sending it again may help",
    "retry-after": "after how many seconds",
    "idempotent-replayed": "true: the answer to an earlier request of the same Idempotency-Key",
    "x-ratelimit-limit-requests": "how many requests a minute the key may send",
    "x-ratelimit-remaining-requests": "how many of them are left",
    "x-ratelimit-reset-requests": "when all of them are left again: 12ms, 1s, 6m0s",
    "x-ratelimit-limit-tokens": "how many tokens a day (UTC) the key may use",
    "x-ratelimit-remaining-tokens": "how many of them are left",
    "x-ratelimit-reset-tokens": "when all of them are left again",
    "x-lair-backend": "who answered",
    "x-lair-model": "the model that was asked there",
    "x-lair-route": "why this one",
    "x-lair-fallbacks": "how many were asked in vain before",
    "x-lair-queue-ms": "how long the request waited for its turn, if it did",
    "x-lair-context": "what was left out of the prompt so that it fits, if anything was",
    "x-lair-memory": "what memory did, or why it did less",
}

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
        "x-lair-queue-ms": _waited(route),
        "x-lair-context": route.context_cut,
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


def _waited(route: Route) -> str:
    milliseconds = route.queue_duration.ToMilliseconds()
    return str(milliseconds) if milliseconds else ""
