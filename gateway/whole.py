"""Answers in one piece, kept alive on their way through proxies if that is wished for.

JSON may begin with whitespace. Sent while the answer is made, it shows proxies, and us,
that the other side is still there. But a status is sent before it, so a failure behind
it can only be told in the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiohttp import web

from gateway.context import SETTINGS, request_id_of
from gateway.dialects.errors import error_body
from gateway.middleware import as_service_error
from gateway.repeats import broke_off

_KEEP_ALIVE = b"\n"
_HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}

_Answer = Coroutine[Any, Any, web.Response]


async def kept_alive(request: web.Request, answer: _Answer) -> web.StreamResponse:
    """Reply with `answer`; with whitespace in front, where that is on and it takes long."""
    gateway = request.app[SETTINGS].gateway
    if not gateway.keepalive_whole:
        return await answer
    task = asyncio.create_task(answer)
    try:
        if await _ends(task, gateway.keepalive_seconds):
            return await task
        return await _with_whitespace(request, task, gateway.keepalive_seconds)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _ends(task: asyncio.Task[web.Response], seconds: float) -> bool:
    """Wait for the answer for a while; tell whether it is there."""
    done, _ = await asyncio.wait({task}, timeout=seconds)
    return bool(done)


async def _with_whitespace(
    request: web.Request, task: asyncio.Task[web.Response], seconds: float
) -> web.StreamResponse:
    reply = web.StreamResponse(headers=_HEADERS)
    await reply.prepare(request)
    await reply.write(_KEEP_ALIVE)
    while not await _ends(task, seconds):
        await reply.write(_KEEP_ALIVE)
    await reply.write(_body(request, task))
    return reply


def _body(request: web.Request, task: asyncio.Task[web.Response]) -> bytes:
    error = task.exception()
    if error is None:
        body = task.result().body
        assert isinstance(body, bytes), "answers in one piece are JSON"
        return body
    if not isinstance(error, Exception):
        raise error
    broke_off(request)
    request_id = request_id_of(request)
    return error_body(as_service_error(error, request_id), request.path, request_id)
