"""/v1/responses: answers with a state, made of our own chats."""

from __future__ import annotations

from aiohttp import web

from gateway import clients
from gateway.bodies import parsed
from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.dialects.conversation_items import items_of, page
from gateway.dialects.responses_object import asked_of, stored_response_json
from gateway.dialects.responses_request import parse_responses_request, parse_token_count
from gateway.dialects.responses_stream import ResponseStreamEncoder
from gateway.dialects.responses_whole import whole_response_json
from gateway.handlers.calls import prompt_in
from gateway.handlers.replies import (
    json_reply,
    query_count,
    query_text,
    raw_json_reply,
)
from gateway.handlers.response_state import Prepared, find_response, prepare
from gateway.headers import outcome_headers
from gateway.recent import RECENT
from gateway.streaming import relay
from gateway.whole import kept_alive
from lair.memory.v1.conversation_pb2 import StoredTurn
from lair.memory.v1.conversation_service_pb2 import DeleteTurnRequest
from lair.router.v1.router_service_pb2 import CountTokensRequest
from svckit.errors import invalid_field

_MAX_ITEMS, _USUAL_ITEMS = 100, 20
_ORDERS = ("asc", "desc")


async def create(request: web.Request) -> web.StreamResponse:
    """Answer, at once or as a stream."""
    body = await parsed(request, parse_responses_request)
    prepared = await prepare(request, body)
    if not body.stream:
        return await kept_alive(request, _whole(request, prepared))
    call = prepared.call
    encoder = ResponseStreamEncoder(prepared.asked, model=call.model)
    with prompt_in("input"):
        reply = await relay(
            request,
            clients.chat_stream(request.app[CLIENTS], call),
            encoder,
            conversation_id=call.memory.conversation_id,
        )
    if encoder.finished:
        _note(request, prepared)
    return reply


async def get_response(request: web.Request) -> web.Response:
    """Return a response that was kept."""
    if request.query.get("stream", "false").lower() not in ("false", "0", ""):
        raise invalid_field("stream", "a response that is over is not streamed again; leave it out")
    return json_reply(stored_response_json(await _found(request)))


async def delete_response(request: web.Request) -> web.Response:
    """Forget a response, and of its messages those that nothing else needs."""
    turn = await _found(request)
    await ask(
        "memory",
        request.app[CLIENTS].conversations.DeleteTurn,
        DeleteTurnRequest(user_id=turn.user_id, request_id=turn.request_id),
        request_id=request_id_of(request),
    )
    return json_reply({"id": request.match_info["id"], "object": "response", "deleted": True})


async def input_items(request: web.Request) -> web.Response:
    """List what a response answers."""
    turn = await _found(request)
    asked = asked_of(turn)
    messages = turn.input[-asked.input_count :] if asked.input_count else ()
    items = items_of(messages, custom=asked.custom_tools, with_instructions=False)
    return json_reply(items_page(request, items))


async def cancel(request: web.Request) -> web.Response:
    """Refuse: a response is over as soon as it can be found."""
    await _found(request)
    raise invalid_field(
        "id", "only a response that was begun with background: true can be cancelled"
    )


async def count_input_tokens(request: web.Request) -> web.Response:
    """Count the tokens that a request would have."""
    body = await parsed(request, parse_token_count)
    continued = body.previous_response_id or body.conversation_id
    if not (body.pieces or body.instructions or continued):
        return json_reply(_count(0))
    prepared = await prepare(request, body)
    with prompt_in("input"):
        counted = await ask(
            "router",
            request.app[CLIENTS].router.CountTokens,
            CountTokensRequest(call=prepared.call),
            request_id=request_id_of(request),
        )
    return json_reply(_count(counted.token_count))


def items_page(request: web.Request, items: list[dict[str, object]]) -> dict[str, object]:
    """Return the page of items that a query asks for: `order`, `after` and `limit`."""
    order = query_text(request, "order") or "desc"
    if order not in _ORDERS:
        raise invalid_field("order", f"order is {order!r}; send asc or desc")
    return page(
        items,
        newest_first=order == "desc",
        after=query_text(request, "after"),
        limit=query_count(request, "limit", maximum=_MAX_ITEMS) or _USUAL_ITEMS,
    )


async def _whole(request: web.Request, prepared: Prepared) -> web.Response:
    with prompt_in("input"):
        answer = await clients.chat(request.app[CLIENTS], prepared.call)
    _note(request, prepared)
    headers = outcome_headers(answer.route, answer.memory)
    body = whole_response_json(prepared.asked, answer.completion)
    return raw_json_reply(body, headers=headers)


def _note(request: web.Request, prepared: Prepared) -> None:
    """Note that a conversation has a new answer, which memory will have in a moment."""
    call = prepared.call
    if call.memory.conversation_id:
        request.app[RECENT].note(call.caller.user_id, call.memory.conversation_id, call.request_id)


async def _found(request: web.Request) -> StoredTurn:
    return await find_response(request, request.match_info["id"])


def _count(tokens: int) -> dict[str, object]:
    return {"object": "response.input_tokens", "input_tokens": tokens}
