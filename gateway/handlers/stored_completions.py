"""/v1/chat/completions as a store: list, get, change, delete, and what was asked."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from aiohttp import web

from gateway.bodies import parsed
from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.json_body import decode_object
from gateway.dialects.responses_ids import request_of
from gateway.dialects.stored_completions import (
    PREFIX,
    completion_id,
    input_message_json,
    list_json,
    metadata_of,
    stored_completion_json,
    with_metadata,
)
from gateway.handlers.chat import ENDPOINT
from gateway.handlers.replies import json_reply, narrowed_user, query_count, query_text
from gateway.turns import find_turn
from lair.memory.v1.conversation_pb2 import StoredTurn
from lair.memory.v1.conversation_service_pb2 import (
    DeleteTurnRequest,
    ListTurnsRequest,
    UpdateTurnRequest,
)
from svckit.errors import ServiceError, invalid_field

_DEFAULT_LIST, _MAX_LIST = 20, 100
_METADATA = re.compile(r"metadata\[(.+)\]")


async def list_completions(request: web.Request) -> web.Response:
    """List stored completions by when they were asked for."""
    after, user_id = query_text(request, "after"), narrowed_user(request)
    page = await ask(
        "memory",
        request.app[CLIENTS].conversations.ListTurns,
        ListTurnsRequest(
            user_id=user_id,
            all_users=not user_id,
            endpoint=ENDPOINT,
            recorded_only=True,
            page_size=query_count(request, "limit", maximum=_MAX_LIST) or _DEFAULT_LIST,
            after_request_id=_request_id(after) if after else "",
            newest_first=_newest_first(request),
            metadata=_wanted_metadata(request),
            model=query_text(request, "model"),
        ),
        request_id=request_id_of(request),
    )
    items = [stored_completion_json(turn) for turn in page.turns]
    return json_reply(list_json(items, more=bool(page.next_page_token)))


async def get_completion(request: web.Request) -> web.Response:
    """Return one stored completion."""
    return json_reply(stored_completion_json(await _find(request)))


async def change_completion(request: web.Request) -> web.Response:
    """Change a stored completion's metadata."""
    body = await parsed(request, decode_object)
    if "metadata" not in body:
        raise invalid_field("metadata", "metadata is missing; send an object of strings, or null")
    metadata = metadata_of(body["metadata"])
    turn = await _find(request)
    changed = await ask(
        "memory",
        request.app[CLIENTS].conversations.UpdateTurn,
        UpdateTurnRequest(
            user_id=turn.user_id,
            request_id=turn.request_id,
            record_json=with_metadata(turn.record_json, metadata),
        ),
        request_id=request_id_of(request),
    )
    return json_reply(stored_completion_json(changed.turn))


async def delete_completion(request: web.Request) -> web.Response:
    """Forget a stored completion."""
    turn = await _find(request)
    await ask(
        "memory",
        request.app[CLIENTS].conversations.DeleteTurn,
        DeleteTurnRequest(user_id=turn.user_id, request_id=turn.request_id),
        request_id=request_id_of(request),
    )
    found = completion_id(turn.request_id)
    return json_reply({"object": "chat.completion.deleted", "id": found, "deleted": True})


async def list_input(request: web.Request) -> web.Response:
    """List the messages that a stored completion answers."""
    turn = await _find(request)
    name = completion_id(turn.request_id)
    items = [
        input_message_json(stored, f"{name}-{place}") for place, stored in enumerate(turn.input)
    ]
    if _newest_first(request):
        items.reverse()
    items = items[_place_behind(request, items) :]
    limit = query_count(request, "limit", maximum=_MAX_LIST) or _DEFAULT_LIST
    return json_reply(list_json(items[:limit], more=len(items) > limit))


async def _find(request: web.Request) -> StoredTurn:
    """Return the stored completion of the path. Raises TURN_NOT_FOUND."""
    given = request.match_info["id"]
    try:
        turn = await find_turn(request, _request_id(given))
    except ServiceError as error:
        if error.reason != "TURN_NOT_FOUND":
            raise
        raise _not_found(given) from error
    if turn.endpoint != ENDPOINT or not turn.record_json:
        raise _not_found(given)
    return turn


def _request_id(given: str) -> str:
    """Return the id of the request that a completion answers. Raises TURN_NOT_FOUND."""
    found = request_of(given, PREFIX)
    if not found:
        raise _not_found(given)
    return found


def _not_found(given: str) -> ServiceError:
    shown = msgspec.json.encode(given).decode()
    return ServiceError(
        "TURN_NOT_FOUND",
        f"there is no stored completion {shown}; those asked for with store: true are kept",
        request_id=given,
    )


def _newest_first(request: web.Request) -> bool:
    order = query_text(request, "order") or "asc"
    if order not in ("asc", "desc"):
        raise invalid_field("order", f"order is {order!r}; send asc or desc")
    return order == "desc"


def _wanted_metadata(request: web.Request) -> dict[str, str]:
    named = ((_METADATA.fullmatch(name), value) for name, value in request.query.items())
    return metadata_of({found[1]: value for found, value in named if found})


def _place_behind(request: web.Request, items: list[dict[str, Any]]) -> int:
    """Return where the page begins: behind the message that `after` names."""
    after = query_text(request, "after")
    if not after:
        return 0
    for place, item in enumerate(items):
        if item["id"] == after:
            return place + 1
    raise invalid_field("after", f"after is {after!r}, which is no message of this completion")
