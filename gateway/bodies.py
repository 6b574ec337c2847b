"""Read and parse a request's body; a large one beside the event loop, so that others go on.

Of a body of 40 MB, JSON alone takes up to a second and the messages made of it up to
five. Decoding holds the interpreter all the while, the rest lets the loop in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aiohttp import web

# What agents send of this size takes about 5 ms: no longer than a thread of Python's
# holds up the others before it lets them in.
LARGE_BYTES = 256 * 1024

_PARSER = web.AppKey("parser", ThreadPoolExecutor)
_Body = TypeVar("_Body")


async def parser(app: web.Application) -> AsyncIterator[None]:
    """Give the application the one thread that parses: more would only share its time."""
    app[_PARSER] = ThreadPoolExecutor(1, thread_name_prefix="parser")
    yield
    app[_PARSER].shutdown(wait=False, cancel_futures=True)


async def parsed(request: web.Request, parse: Callable[[bytes], _Body]) -> _Body:
    """Return what `parse`, which is pure, makes of the body."""
    body = await request.read()
    if len(body) <= LARGE_BYTES:
        return parse(body)
    return await asyncio.get_running_loop().run_in_executor(request.app[_PARSER], parse, body)
