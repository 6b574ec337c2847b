"""Stored requests by their ids, soon after they were answered as well.

A finished request reaches memory some milliseconds after its client had the end of its
answer, so one that is asked for at once is waited for.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from aiohttp import web

from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.handlers.replies import narrowed_user
from lair.memory.v1.conversation_pb2 import StoredTurn
from lair.memory.v1.conversation_service_pb2 import GetTurnRequest
from svckit.errors import ServiceError

# How old a request is of which memory must have heard, and how long others are waited for.
_YOUNG_SECONDS = 30.0
_PAUSES_SECONDS = (0.02, 0.04, 0.08, 0.16, 0.2)


async def find_turn(
    request: web.Request, request_id: str, *, user_id: str | None = None
) -> StoredTurn:
    """Return the stored request of that id of the user that `request` is about.

    Who sees everybody's data and names nobody finds anybody's. A call's own caller is
    given as `user_id`. Raises TURN_NOT_FOUND.
    """
    wanted = GetTurnRequest(user_id=user_id or "", request_id=request_id)
    if user_id is None:
        wanted.user_id = narrowed_user(request)
        wanted.all_users = not wanted.user_id
    for pause in _PAUSES_SECONDS if is_young(request_id) else ():
        try:
            return await _get(request, wanted)
        except ServiceError as error:
            if error.reason != "TURN_NOT_FOUND":
                raise
        await asyncio.sleep(pause)
    return await _get(request, wanted)


def is_young(request_id: str) -> bool:
    """Tell whether a request may still be on its way to memory: a UUIDv7 holds its time."""
    try:
        made = UUID(request_id)
    except ValueError:
        return False
    return made.version == 7 and time.time() - (made.int >> 80) / 1000 < _YOUNG_SECONDS  # noqa: PLR2004


async def _get(request: web.Request, wanted: GetTurnRequest) -> StoredTurn:
    found = await ask(
        "memory",
        request.app[CLIENTS].conversations.GetTurn,
        wanted,
        request_id=request_id_of(request),
    )
    return found.turn
