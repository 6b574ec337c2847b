"""The lines of Ollama's `/api/chat` as clean events. Pure.

The order is the one that `ChatEvent` promises. What Ollama measured of an answer stands in
the last event as `timings`, in llama.cpp's words.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from lair.common.v1.chat_pb2 import Usage
from lair.router.v1.chat_pb2 import ChatEvent, Completed, Delta, Finish, Started, ToolCallDelta
from router_svc.backends.reply_json import (
    SHAPE_ERRORS,
    encode,
    inband_error,
    misshapen,
    parse_object,
    whole,
)
from router_svc.model import UpstreamError

_NANOSECONDS_PER_MS = 1e6


class OllamaReader:
    """Feed it lines; it returns the events to relay."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._started = False
        self._call_count = 0
        self._last: Mapping[str, Any] | None = None
        self._fault: UpstreamError | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more is to be read: behind the last line comes the end."""
        return self._fault is not None

    @property
    def complete(self) -> bool:
        """Whether the answer has told why it ended."""
        return self._last is not None

    def feed(self, payloads: Iterable[bytes]) -> list[ChatEvent]:
        """Return the events that `payloads` amount to.

        A fault is kept for `end`, so that what came before it is relayed.
        """
        events: list[ChatEvent] = []
        for payload in payloads:
            if self._fault or self._last:
                break
            try:
                self._line(payload, events)
            except UpstreamError as error:
                self._fault = error
            except SHAPE_ERRORS as error:
                self._fault = misshapen(error)
        return events

    def end(self) -> list[ChatEvent]:
        """Return the last events. Raises `UpstreamError` where the answer broke off."""
        if self._fault:
            raise self._fault
        if self._last is None:
            raise UpstreamError("UPSTREAM_FAILED", "Ollama's stream ended in the middle of one")
        reason = str(self._last.get("done_reason") or "stop")
        if reason != "length":
            # `load` and `unload` end answers that have nothing to say.
            reason = "tool_calls" if self._call_count else "stop"
        extra = encode({"timings": timings}) if (timings := _timings(self._last)) else b""
        return [
            ChatEvent(finish=Finish(index=0, reason=reason)),
            ChatEvent(completed=Completed(usage=_usage(self._last), extra_json=extra)),
        ]

    def _line(self, payload: bytes, events: list[ChatEvent]) -> None:
        line = parse_object(payload)
        if line.get("error"):
            raise inband_error(line, payload)
        if not self._started:
            self._started = True
            started = Started(
                id=f"chatcmpl-{uuid4().hex}",
                created=_seconds(line.get("created_at")),
                model=str(line.get("model") or self._model),
            )
            events.append(ChatEvent(started=started))
        message = line.get("message") or {}
        text, thinking = message.get("content"), message.get("thinking")
        calls, logprobs = message.get("tool_calls"), line.get("logprobs")
        if text or thinking or calls or logprobs:
            delta = Delta(index=0, text=text or "", reasoning=thinking or "")
            delta.tool_calls.extend(self._calls(calls or ()))
            if logprobs:
                delta.logprobs_json = encode({"content": logprobs})
            events.append(ChatEvent(delta=delta))
        if line.get("done"):
            self._last = line

    def _calls(self, calls: Iterable[Mapping[str, Any]]) -> Iterable[ToolCallDelta]:
        for call in calls:
            function = call.get("function") or {}
            arguments = function.get("arguments")
            yield ToolCallDelta(
                index=self._call_count,
                id=call.get("id") or f"call_{uuid4().hex}",
                type="function",
                name=function.get("name") or "",
                arguments=arguments if isinstance(arguments, str) else _object(arguments),
            )
            self._call_count += 1


def _object(arguments: object) -> str:
    return encode(arguments if isinstance(arguments, dict) else {}).decode()


def _usage(line: Mapping[str, Any]) -> Usage | None:
    """Read the tokens; of a prompt that was cached whole some versions tell none."""
    prompt, completion = whole(line.get("prompt_eval_count")), whole(line.get("eval_count"))
    if completion is None:
        return None
    total = None if prompt is None else prompt + completion
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)


def _timings(line: Mapping[str, Any]) -> dict[str, float]:
    timings: dict[str, float] = {}
    for word, name in (("prompt_eval", "prompt"), ("eval", "predicted")):
        count, ms = whole(line.get(f"{word}_count")), _ms(line.get(f"{word}_duration"))
        if count is not None and ms:
            timings |= {f"{name}_n": count, f"{name}_ms": ms}
            timings[f"{name}_per_second"] = count / ms * 1000
    if (load := _ms(line.get("load_duration"))) is not None:
        timings["load_ms"] = load
    return timings


def _ms(nanoseconds: object) -> float | None:
    value = whole(nanoseconds)
    return None if value is None else value / _NANOSECONDS_PER_MS


def _seconds(created: object) -> int:
    try:
        return int(datetime.fromisoformat(str(created)).timestamp())
    except (ValueError, OverflowError):
        return int(time.time())
