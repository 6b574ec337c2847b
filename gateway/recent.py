"""The latest response of each conversation, as long as it may be on its way to memory.

A client that reads a conversation right after an answer in it is to find that answer. Kept
in this process: one that is read through another may lack its last turn for some
milliseconds.
"""

from __future__ import annotations

from collections import OrderedDict

from aiohttp import web

from gateway.turns import find_turn, is_young
from svckit.errors import ServiceError

MAX_CONVERSATIONS = 10_000

_Conversation = tuple[str, str]  # a user and the id of one of theirs


class Recent:
    """The requests that conversations were last answered with."""

    def __init__(self, *, limit: int = MAX_CONVERSATIONS) -> None:
        self._limit = limit
        self._last: OrderedDict[_Conversation, str] = OrderedDict()

    def note(self, user_id: str, conversation_id: str, request_id: str) -> None:
        """Note that a request was answered and is kept."""
        conversation = user_id, conversation_id
        self._last[conversation] = request_id
        self._last.move_to_end(conversation)
        if len(self._last) > self._limit:
            self._last.popitem(last=False)

    def take(self, user_id: str, conversation_id: str) -> str:
        """Return the latest request and forget it; empty where memory must have it already."""
        request_id = self._last.pop((user_id, conversation_id), "")
        return request_id if is_young(request_id) else ""


RECENT = web.AppKey("recent", Recent)


async def settled(request: web.Request, user_id: str, conversation_id: str) -> None:
    """Wait until memory has the latest response of a conversation, for as long as is usual."""
    latest = request.app[RECENT].take(user_id, conversation_id)
    if not latest:
        return
    try:
        await find_turn(request, latest, user_id=user_id)
    except ServiceError as error:
        if error.reason != "TURN_NOT_FOUND":  # it was deleted, or memory is late for once
            raise
