"""What a scripted backend answers: steps, and the usual sequences of them.

An `Answer` is a list of steps: bytes are written, a number is a pause in seconds,
an `asyncio.Event` is waited for, `Step.CUT` drops the connection and `Step.HANG`
waits until the client leaves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Step(Enum):
    """What an answer does besides writing and waiting."""

    CUT = "cut"
    HANG = "hang"


AnyStep = bytes | float | asyncio.Event | Step
Steps = tuple[AnyStep, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The steps of one reply; those of `before` come before its status and headers."""

    steps: Steps
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    before: Steps = ()


def reply(body: object, status: int = 200, **headers: str) -> Answer:
    """Answer with JSON; bytes are sent as they are, and `retry_after=…` names a header."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer((payload,), status=status, headers=named)


def stream(*steps: AnyStep, before: Steps = ()) -> Answer:
    """Answer with server-sent events."""
    return Answer(steps, content_type="text/event-stream", before=before)


def event(body: object) -> bytes:
    """Frame one event; bytes and text are sent as they are."""
    if isinstance(body, str):
        body = body.encode()
    return b"data: " + (body if isinstance(body, bytes) else json.dumps(body).encode()) + b"\n\n"


def chunk(
    text: str | None = None, *, finish: str | None = None, index: int = 0, **more: Any
) -> bytes:
    """Frame a chunk of a chat; `more` are further fields of the chunk."""
    delta = {} if text is None else {"content": text}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return event(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": "tiny",
            "choices": [choice],
            **more,
        }
    )


def usage_chunk(prompt_tokens: int, completion_tokens: int) -> bytes:
    """Frame the chunk that tells the tokens and has no choice."""
    usage = usage_of(prompt_tokens, completion_tokens)
    return event({"id": "chatcmpl-1", "created": 1700000000, "choices": [], "usage": usage})


def completion(
    text: str, *, finish: str = "stop", usage: tuple[int, int] | None = (5, 2)
) -> Answer:
    """Answer with a whole chat completion."""
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": finish,
            }
        ],
    }
    if usage:
        body["usage"] = usage_of(*usage)
    return reply(body)


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return a `usage` object."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def streamed(*texts: str, usage: tuple[int, int] = (5, 2)) -> Answer:
    """Answer with a well-behaved stream of `texts`."""
    pieces = [chunk(text) for text in texts]
    return stream(*pieces, chunk(finish="stop"), usage_chunk(*usage), DONE)


def greeting(body: dict[str, Any]) -> Answer:
    """Say hello, streamed or not as the request asks."""
    return streamed("Hello", " there") if body.get("stream") else completion("Hello there")


def model_entry(name: str) -> dict[str, Any]:
    """Return an entry of `/models`."""
    return {"id": name, "object": "model", "created": 1700000000, "owned_by": "test"}


DONE = event("[DONE]")
