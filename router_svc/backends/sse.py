"""Server-sent events, decoded from whatever pieces the network delivers. No I/O.

Follows the WHATWG rules that matter here: LF and CRLF line ends, comments and
unknown fields ignored, several `data` lines joined, an event without data is none, and a
byte order mark is nothing.
"""

from __future__ import annotations

from codecs import BOM_UTF8 as _BOM

from router_svc.model import UpstreamError

_MOST_BYTES = 16 * 1024 * 1024


class SseDecoder:
    """Feed it bytes; it returns the data of every event that is complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that `piece` completes."""
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) + sum(map(len, self._data)) > _MOST_BYTES:
            raise UpstreamError("UPSTREAM_FAILED", "the backend sent an event without end")
        events: list[bytes] = []
        for raw in lines:
            line = raw[:-1] if raw.endswith(b"\r") else raw
            if line:
                self._field(line)
            elif self._data:
                events.append(self._take())
        return events

    def end(self) -> list[bytes]:
        """Return what the stream's end completes: some servers omit the last blank line."""
        if self._rest:
            self._field(self._rest.removesuffix(b"\r"))
            self._rest = b""
        return [self._take()] if self._data else []

    def _field(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            if value:
                self._data.append(value)
        elif line.startswith(_BOM):  # of the first line
            self._field(line.removeprefix(_BOM))

    def _take(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        return data
