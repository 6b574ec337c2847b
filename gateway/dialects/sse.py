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
# Ends of lines to readers that go by Unicode, as httpx and `str.splitlines` do: NEL, LS, PS.
_LINE_ENDS = tuple((mark.encode(), f"\\u{ord(mark):04x}".encode()) for mark in "\x85\u2028\u2029")


def event(json: bytes) -> bytes:
    """Frame one event; `json` holds no line break."""
    return b"data: " + unbroken(json) + b"\n\n"


def named_event(name: str, json: bytes) -> bytes:
    """Frame one event with its name, for dialects whose clients go by it."""
    return b"event: " + name.encode() + b"\n" + event(json)


def comment(text: str) -> bytes:
    """Frame one comment, which clients skip; `text` holds no line break."""
    return f": {text}\n\n".encode()


def unbroken(events: bytes) -> bytes:
    """Escape, in the JSON of framed events, what some readers would take for a line's end."""
    if events.isascii():
        return events
    for mark, escaped in _LINE_ENDS:
        events = events.replace(mark, escaped)
    return events
