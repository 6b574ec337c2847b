"""POST /v1/chat/completions."""

from __future__ import annotations

from aiohttp import web

from gateway import clients
from gateway.bodies import parsed
from gateway.context import CLIENTS
from gateway.dialects.chat_request import ChatBody, parse_chat_request
from gateway.dialects.chat_response import completion_json
from gateway.dialects.chat_stream import ChatStreamEncoder
from gateway.handlers import calls
from gateway.handlers.replies import raw_json_reply
from gateway.headers import outcome_headers
from gateway.hints import add_memory_hints, read_conversation, read_memory_hints
from gateway.policies import forbids_memory, memory_policy
from gateway.streaming import relay
from gateway.whole import kept_alive
from gateway.withheld import withhold_memory
from lair.router.v1.chat_pb2 import MEMORY_POLICY_FULL, MEMORY_POLICY_STORE, ChatCall

ENDPOINT = "/v1/chat/completions"


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer a chat, at once or as a stream."""
    body = await parsed(request, parse_chat_request)
    if body.record_json:
        _ask_to_be_stored(request, body)
    else:
        address(request, body.call, ENDPOINT)
    if body.stream:
        encoder = ChatStreamEncoder(include_usage=body.include_usage)
        return await relay(
            request,
            clients.chat_stream(request.app[CLIENTS], body.call),
            encoder,
            conversation_id=body.call.memory.conversation_id,
        )
    return await kept_alive(request, _whole(request, body.call))


def address(request: web.Request, call: ChatCall, endpoint: str) -> None:
    """Put on a chat what its request says beside the body: who asks, and all hints.

    A dialect whose body speaks of memory says so in `call.memory` before.
    """
    memory, model = call.memory, call.model
    memory.conversation_id = memory.conversation_id or read_conversation(request.headers)
    calls.address(request, call, endpoint)
    standing = memory_policy(request, call.caller.project)
    add_memory_hints(memory, read_memory_hints(request.headers, standing, model=model))
    if whose := forbids_memory(request, call.caller.project):
        withhold_memory(request, memory, whose)


def _ask_to_be_stored(request: web.Request, body: ChatBody) -> None:
    """Address a chat that is to be kept, unless a header or a policy wants it forgotten."""
    memory = body.call.memory
    memory.policy = MEMORY_POLICY_STORE
    address(request, body.call, ENDPOINT)
    if memory.policy in (MEMORY_POLICY_STORE, MEMORY_POLICY_FULL):
        memory.record_json = body.record_json


async def _whole(request: web.Request, call: ChatCall) -> web.Response:
    answer = await clients.chat(request.app[CLIENTS], call)
    headers = outcome_headers(answer.route, answer.memory)
    return raw_json_reply(completion_json(answer.completion), headers=headers)
