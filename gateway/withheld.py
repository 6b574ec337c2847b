"""Memory that a request asks for and its key does not allow: not used, and the reply says so.

The router only hears that memory is off, so what it reports cannot say why.
"""

from __future__ import annotations

from aiohttp import web

from lair.router.v1.chat_pb2 import (
    MEMORY_POLICY_OFF,
    MEMORY_POLICY_UNSPECIFIED,
    MemoryHints,
)

_HEADER = "x-lair-memory"
_REASON = "off: the key's memory policy"
_NONE = (MEMORY_POLICY_OFF, MEMORY_POLICY_UNSPECIFIED)

_WITHHELD = web.RequestKey("memory_withheld", bool)


def withhold_memory(request: web.Request, memory: MemoryHints) -> None:
    """Switch memory off for a request, and note whether it asked for any."""
    request[_WITHHELD] = bool(memory.conversation_id) or memory.policy not in _NONE
    memory.Clear()
    memory.policy = MEMORY_POLICY_OFF


async def tell_of_withheld_memory(request: web.Request, response: web.StreamResponse) -> None:
    """Say on an answer why memory did nothing for it."""
    if request.get(_WITHHELD) and _HEADER in response.headers:
        response.headers[_HEADER] = _REASON
