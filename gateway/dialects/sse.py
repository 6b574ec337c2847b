"""Server-sent events, in the one framing that every client tested reads.

Silence is filled with comment lines and nothing else: an event without data, an
`id:` or a `retry:` line makes openai-python fail.
"""

from __future__ import annotations

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


def event(json: bytes) -> bytes:
    """Frame one event; `json` holds no line break."""
    return b"data: " + json + b"\n\n"


def comment(text: str) -> bytes:
    """Frame one comment, which clients skip; `text` holds no line break."""
    return f": {text}\n\n".encode()
