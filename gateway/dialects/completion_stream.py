"""A streamed answer as `text_completion` events.

Each piece of text is a chunk; a chunk with the reason alone closes each choice; the
usage comes last, if it was asked for, and then `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.dialects import sse
from gateway.dialects.chunks import Chunks, waiting_comment
from gateway.dialects.errors import error_json
from gateway.dialects.json_extra import optional_json
from lair.router.v1.chat_pb2 import ChatEvent, Delta, Finish
from svckit.chat_json import with_extra
from svckit.errors import ServiceError


class CompletionStreamEncoder:
    """Write the events of one answer; all of a call's events become one piece of bytes."""

    def __init__(self, *, include_usage: bool) -> None:
        self._chunks = Chunks("text_completion", include_usage=include_usage)
        self.finished = False

    @property
    def begun(self) -> bool:
        """Whether the answer has begun, so that headers can go out."""
        return self._chunks.begun

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        """Write `events`, in order; what only waits becomes comments."""
        out: list[bytes] = []
        for event in events:
            match event.WhichOneof("event"):
                case "delta":
                    self._delta(event.delta, out)
                case "waiting":
                    out.append(waiting_comment(event.waiting.position))
                case "started":
                    self._chunks.begin(event.started)
                case "finish":
                    self._finish(event.finish, out)
                case "completed":
                    self._chunks.end(event.completed, out)
                    self.finished = True
                case None:
                    pass  # a newer router's event
        return sse.unbroken(b"".join(out))

    def fail(self, error: ServiceError) -> bytes:
        """Write the failure that ends the stream; no `[DONE]` follows it."""
        return sse.event(error_json(error))

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        choice = _choice(delta.index, delta.text, None, optional_json(delta.logprobs_json))
        self._chunks.choice(
            with_extra(choice, delta.choice_extra_json), delta.chunk_extra_json, out
        )

    def _finish(self, finish: Finish, out: list[bytes]) -> None:
        choice = with_extra(_choice(finish.index, "", finish.reason), finish.choice_extra_json)
        self._chunks.choice(choice, finish.chunk_extra_json, out)


def _choice(index: int, text: str, reason: str | None, logprobs: Any = None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
