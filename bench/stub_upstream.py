"""A model server that thinks in no time: the fixed far end of every measurement.

It speaks just enough of the OpenAI API: `GET /v1/models` and `POST
/v1/chat/completions`, whole and streamed. It must be several times faster than
anything measured in front of it, so it is a bare `asyncio.Protocol` on uvloop:
the request is decoded into four fields, the reply is a constant found in a
cache, and all of a stream leaves in one write, as fast as the socket takes it.

A stream has `max_tokens` chunks of text (or N for a model called `stub-N`; 100
if neither says), each an HTTP chunk of its own as real servers send them;
`stub_delay_ms` in the request puts a pause before each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from functools import lru_cache
from typing import Any, cast

import msgspec
import uvloop

MODEL = "stub"
DEFAULT_CHUNKS = 100
MOST_CHUNKS = 100_000
PROMPT_TOKENS = 7
REPLY_TEXT = "The stub answers every question with this one sentence."
REPLY_TOKENS = 10
CREATED = 1_700_000_000


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """What of a chat request decides the reply; all else is skipped unread."""

    model: str = MODEL
    stream: bool = False
    max_tokens: int | None = None
    stub_delay_ms: float = 0.0
    stream_options: _StreamOptions | None = None

    def chunk_count(self) -> int:
        """Return how many chunks of text a stream has."""
        _, _, suffix = self.model.partition("-")
        wanted = int(suffix) if suffix.isdecimal() else self.max_tokens or DEFAULT_CHUNKS
        return max(1, min(wanted, MOST_CHUNKS))


_decode = msgspec.json.Decoder(ChatRequest).decode


class StubProtocol(asyncio.Protocol):
    """One keep-alive connection; a request is answered before the next is read."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        # uvloop's transport has the methods but not the base class.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Stop a slow stream that nobody reads."""
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect a request until it is whole, then answer it."""
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._received[:head_end])
        end = head_end + 4 + _content_length(head)
        if len(self._received) < end:
            return
        body = bytes(self._received[head_end + 4 : end])
        del self._received[:end]
        self._answer(head[: head.find(b"\r\n")].split(b" ", 2), body)

    def _answer(self, request_line: list[bytes], body: bytes) -> None:
        method, path = request_line[0], request_line[1]
        if (method, path) == (b"POST", b"/v1/chat/completions"):
            self._answer_chat(body)
        elif (method, path) == (b"GET", b"/v1/models"):
            self._transport.write(_models())
        else:
            self._transport.write(_error(b"404 Not Found", "the stub has no such path"))

    def _answer_chat(self, body: bytes) -> None:
        try:
            request = _decode(body)
        except msgspec.MsgspecError as error:
            self._transport.write(_error(b"400 Bad Request", str(error)))
            return
        if not request.stream:
            self._transport.write(_whole(request.model))
            return
        usage = bool(request.stream_options and request.stream_options.include_usage)
        if request.stub_delay_ms <= 0:
            self._transport.write(_stream(request.model, request.chunk_count(), usage))
            return
        pieces = stream_pieces(request.model, request.chunk_count(), include_usage=usage)
        self._send_slowly(pieces, request.stub_delay_ms / 1000)

    def _send_slowly(self, pieces: list[bytes], delay: float) -> None:
        self._transport.write(pieces.pop(0))
        if pieces:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay, self._send_slowly, pieces, delay)


def stream_pieces(model: str, count: int, *, include_usage: bool) -> list[bytes]:
    """Return a streamed reply: its head, then one HTTP chunk for each event."""
    usage_field: dict[str, Any] = {"usage": None} if include_usage else {}
    common = {"id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": CREATED}

    def event(choices: list[dict[str, Any]], **fields: Any) -> bytes:
        return _sse(_json({**common, "model": model, "choices": choices, **usage_field, **fields}))

    def choice(delta: dict[str, str], finish: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]

    events = [event(choice({"role": "assistant", "content": ""}))]
    events += [event(choice({"content": f" word{number % 10}"})) for number in range(count)]
    events.append(event(choice({}, "stop")))
    if include_usage:
        events.append(event([], usage=_usage(count)))
    events.append(_sse(b"[DONE]") + b"0\r\n\r\n")
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    return [head, *events]


@lru_cache(maxsize=32)
def _stream(model: str, count: int, include_usage: bool) -> bytes:  # noqa: FBT001  # lru_cache is faster by position
    return b"".join(stream_pieces(model, count, include_usage=include_usage))


@lru_cache(maxsize=32)
def _whole(model: str) -> bytes:
    message = {"role": "assistant", "content": REPLY_TEXT, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _reply(
        b"200 OK",
        {
            "id": "chatcmpl-stub",
            "object": "chat.completion",
            "created": CREATED,
            "model": model,
            "choices": [choice],
            "usage": _usage(REPLY_TOKENS),
        },
    )


@lru_cache(maxsize=1)
def _models() -> bytes:
    model = {"id": MODEL, "object": "model", "created": CREATED, "owned_by": "bench"}
    return _reply(b"200 OK", {"object": "list", "data": [model]})


def _error(status: bytes, message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return _reply(status, {"error": error})


def _usage(completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": completion_tokens,
        "total_tokens": PROMPT_TOKENS + completion_tokens,
    }


def _content_length(head: bytes) -> int:
    """Read the body's length; a request without one has no body."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def _reply(status: bytes, value: Any) -> bytes:
    body = _json(value)
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (status, len(body), body)
    )  # fmt: skip


def _sse(data: bytes) -> bytes:
    """Frame an event as SSE inside an HTTP chunk."""
    event = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(event), event)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


async def serve(port: int) -> None:
    """Serve on loopback until cancelled."""
    server = await asyncio.get_running_loop().create_server(
        StubProtocol, "127.0.0.1", port, backlog=1024
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the stub model server on loopback.")
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
