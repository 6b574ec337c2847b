"""Lines of a stream, from whatever pieces the network delivers. No I/O."""

from __future__ import annotations

from router_svc.model import UpstreamError

_MOST_BYTES = 16 * 1024 * 1024


class LineDecoder:
    """Feed it bytes; it returns every line that is complete and not blank."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that `piece` completes."""
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _MOST_BYTES:
            raise UpstreamError("UPSTREAM_FAILED", "the backend sent a line without end")
        return [line for raw in lines if (line := raw.strip())]

    def end(self) -> list[bytes]:
        """Return what the stream's end completes."""
        rest, self._rest = self._rest.strip(), b""
        return [rest] if rest else []
