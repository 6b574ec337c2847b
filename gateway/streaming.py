"""Relay a streamed answer to a client, in whatever dialect.

The 200 waits for the answer's first event, so that a failure before it is still an
HTTP status. It does not wait for ever: silence is broken by comments, which also
show proxies, and us, whether the other side is still there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Protocol

from aiohttp import web

from gateway.context import SETTINGS, request_id_of
from gateway.dialects import sse
from gateway.headers import outcome_headers, printable
from gateway.middleware import as_service_error
from gateway.repeats import broke_off
from lair.router.v1.chat_pb2 import ChatEvent
from lair.router.v1.router_service_pb2 import ChatStreamResponse, CompleteStreamResponse
from svckit.errors import ServiceError


class StreamEncoder(Protocol):
    """One answer's events in the words of one dialect."""

    finished: bool

    @property
    def begun(self) -> bool:
        """Whether the answer has begun, so that headers can go out."""

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        """Write events, in order."""

    def fail(self, error: ServiceError) -> bytes:
        """Write the failure that ends the stream."""


async def relay(
    request: web.Request,
    answer: AbstractContextManager[AsyncIterable[ChatStreamResponse | CompleteStreamResponse]],
    encoder: StreamEncoder,
    *,
    conversation_id: str = "",
) -> web.StreamResponse:
    """Answer `request` with the events of `answer`, as they come."""
    reply = _Reply(request, request.app[SETTINGS].gateway.keepalive_seconds)
    if conversation_id:
        reply.headers["x-conversation-id"] = printable(conversation_id)
    try:
        with answer as stream:
            async with reply.kept_alive():
                async for message in stream:
                    await _pass_on(message.events, encoder, reply)
        _require_end(encoder)
    except ConnectionError:
        raise  # the client is gone: there is nobody to tell
    except Exception as error:
        if not reply.begun:
            raise
        broke_off(request)
        failure = as_service_error(error, request_id_of(request))
        await reply.write(encoder.fail(failure))
    return reply.response


def _require_end(encoder: StreamEncoder) -> None:
    """Refuse to let half an answer pass for a whole one."""
    if not encoder.finished:
        raise ServiceError("UPSTREAM_FAILED", "the answer broke off before its end")


async def _pass_on(events: Iterable[ChatEvent], encoder: StreamEncoder, reply: _Reply) -> None:
    if not encoder.begun:
        for event in events:
            if event.HasField("started"):
                started = event.started
                reply.headers.update(outcome_headers(started.route, started.memory))
    data = encoder.encode(events)
    if reply.begun or encoder.begun:
        await reply.write(data)
    else:
        reply.first_comment = data  # it only waits; the keep-alive says so in time


class _Reply:
    """The reply: headers with the first write, comments while it is silent."""

    def __init__(self, request: web.Request, silence_seconds: float) -> None:
        self.response = web.StreamResponse(headers=sse.HEADERS)
        self.headers = self.response.headers
        self.first_comment = sse.KEEP_ALIVE
        self._request = request
        self._silence = silence_seconds
        self._clock = asyncio.get_running_loop().time
        self._last = self._clock()

    @property
    def begun(self) -> bool:
        """Whether the headers are out."""
        return self.response.prepared

    async def write(self, data: bytes) -> None:
        """Send whole events, and first the headers."""
        await self.response.prepare(self._request)  # does nothing the second time
        if data:
            self._last = self._clock()
            await self.response.write(data)

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """Send comments within the block whenever nothing else was sent for a while."""
        beat = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beat.cancel()
            await asyncio.wait({beat})
            error = None if beat.cancelled() else beat.exception()
            # A client that left ends the beat too; the relay learns it by itself.
            if error is not None and not isinstance(error, ConnectionError):
                raise error

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._last + self._silence - self._clock())
            if self._clock() - self._last >= self._silence:
                await self.write(sse.KEEP_ALIVE if self.begun else self.first_comment)
