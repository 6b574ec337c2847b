"""What is wrong with an exchange that the recorder kept: its reply, its events, its headers."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.compat import document
from tests.compat.operations import Operation, is_foreign, operation_of
from tests.compat.recorder import Exchange
from tests.gateway import wire_rules

_STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
_STREAM = "text/event-stream"
# Ours by design: a router's own failures behind a backend that is not there.
_SERVER_ERRORS = (502, 503, 504)


@dataclass(slots=True)
class Verdict:
    """What was judged, and what was wrong with it."""

    replies: int = 0
    events: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Add what was found elsewhere."""
        self.replies += other.replies
        self.events += other.events
        self.violations += other.violations


def verdict_on(exchanges: list[Exchange]) -> Verdict:
    """Judge all that is of the OpenAI API, and the headers of everything."""
    verdict = Verdict()
    for exchange in exchanges:
        try:
            verdict.add(_judge(exchange))
        except (ValueError, AssertionError, LookupError, TypeError) as error:
            verdict.violations.append(f"{exchange.name}: {type(error).__name__}: {error}"[:500])
    return verdict


def _judge(exchange: Exchange) -> Verdict:
    verdict = Verdict(violations=[f"{exchange.name}: {each}" for each in _of_headers(exchange)])
    if is_foreign(exchange.path) or exchange.method == "OPTIONS":
        return verdict
    operation = operation_of(exchange.method, exchange.path)
    if exchange.status >= 400:
        found = document.judge()("ErrorResponse", json.loads(exchange.reply))
        verdict.replies = 1
    elif operation is None:
        found = ["answered, though the document has no such operation"]
    elif exchange.content_type == _STREAM:
        found, verdict.events = _of_events(exchange, operation)
    else:
        found = _of_whole(exchange, operation)
        verdict.replies = 1
    verdict.violations += [f"{exchange.name}: {each}" for each in found]
    return verdict


def _of_headers(exchange: Exchange) -> Iterator[str]:
    if "x-request-id" not in exchange.headers:
        yield "no x-request-id"
    if exchange.status >= 500 and exchange.status not in _SERVER_ERRORS:
        yield f"status {exchange.status}: {exchange.reply[:200]!r}"
    if exchange.content_type == _STREAM:
        for name, value in _STREAM_HEADERS.items():
            if exchange.headers.get(name) != value:
                yield f"{name} is {exchange.headers.get(name)!r}"
    elif exchange.reply and exchange.content_type != "application/json":
        yield f"content-type {exchange.content_type!r}"


def _of_whole(exchange: Exchange, operation: Operation) -> list[str]:
    value = json.loads(exchange.reply)
    if not operation.whole:
        return []
    if operation.whole == "CreateEmbeddingResponse":
        _as_lists(value, json.loads(exchange.body).get("encoding_format"))
    if operation.whole == "ChatCompletionMessageList":  # of answers, says all but its example
        value["data"] = [{**each, "role": "assistant"} for each in value["data"]]
    return document.judge()(operation.whole, value)


def _as_lists(value: dict[str, Any], encoding: str | None) -> None:
    """Unpack vectors in base64, which the document takes as a format and forgets in replies."""
    for item in value["data"]:
        assert isinstance(item["embedding"], str) == (encoding == "base64")
        if encoding == "base64":
            packed = base64.b64decode(item["embedding"], validate=True)
            item["embedding"] = list(struct.unpack(f"<{len(packed) // 4}f", packed))


def _of_events(exchange: Exchange, operation: Operation) -> tuple[list[str], int]:
    if operation.event == "ResponseStreamEvent":
        events = list(_named_events(exchange))
        found = _of_numbers(events)
    else:
        events = _chunks(exchange)
        found = []
    for event in events:
        if "error" in event and operation.event != "ResponseStreamEvent":
            found += document.judge()("ErrorResponse", event)
        else:
            found += document.judge()(operation.event, _patched(event, operation))
    return found, len(events)


def _chunks(exchange: Exchange) -> list[dict[str, Any]]:
    """Return the chunks of a stream of chat or text; fail where a rule of the wire is broken."""
    raw = exchange.reply if exchange.complete else _whole_frames(exchange.reply)
    ended = raw.endswith(b"data: [DONE]\n\n")
    chunks = wire_rules.chunks_of(raw, ended=ended)
    failed = bool(chunks) and "error" in chunks[-1]
    assert ended or failed or not exchange.complete, "a stream ends with [DONE] or an error"
    if not ended:
        return chunks
    asked = json.loads(exchange.body).get("stream_options") or {}
    include_usage = bool(asked.get("include_usage"))
    kind = str(chunks[0]["object"])
    wire_rules.check_chunks(chunks, kind, include_usage=include_usage)
    if kind == "chat.completion.chunk":
        wire_rules.check_chat_choices(chunks)
    return chunks


def _whole_frames(reply: bytes) -> bytes:
    """Return what came of a stream before its client left, without a last torn event."""
    head, end, _ = reply.rpartition(b"\n\n")
    return head + end


def _patched(event: dict[str, Any], operation: Operation) -> dict[str, Any]:
    """Return a chunk of text as the document has it, which forgets that most have no reason."""
    if operation.event != "CreateCompletionResponse":
        return event
    choices = [
        {**choice, "finish_reason": choice["finish_reason"] or "stop"}
        for choice in event["choices"]
    ]
    return {**event, "choices": choices, "usage": event.get("usage") or _NO_USAGE}


_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def _named_events(exchange: Exchange) -> Iterator[dict[str, Any]]:
    """Yield the events of a response; fail where one is not named in its `event:` line."""
    for frame in exchange.reply.decode().split("\n\n")[:-1]:
        if frame.startswith(":") or frame == "data: [DONE]":
            continue
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}", name
        yield event


def _of_numbers(events: list[dict[str, Any]]) -> list[str]:
    numbers = [event.get("sequence_number") for event in events]
    return [] if numbers == list(range(len(events))) else [f"events are numbered {numbers}"]
