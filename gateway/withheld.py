"""Memory that a request asks for and a policy does not allow: not used, and the reply says so.

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
_NONE = (MEMORY_POLICY_OFF, MEMORY_POLICY_UNSPECIFIED)

_WITHHELD = web.RequestKey("memory_withheld", str)


def withhold_memory(request: web.Request, memory: MemoryHints, whose: str) -> None:
    """Switch memory off for a request, and note whose policy says so if it asked for any."""
    if memory.conversation_id or memory.policy not in _NONE:
        request[_WITHHELD] = whose
    memory.Clear()
    memory.policy = MEMORY_POLICY_OFF


async def tell_of_withheld_memory(request: web.Request, response: web.StreamResponse) -> None:
    """Say on an answer why memory did nothing for it."""
    if (whose := request.get(_WITHHELD)) and _HEADER in response.headers:
        response.headers[_HEADER] = f"off: the {whose}'s memory policy"
