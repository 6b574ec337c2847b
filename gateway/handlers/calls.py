"""What handlers of model calls have in common, whatever is asked of the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from aiohttp import web

from gateway.context import SETTINGS, key_of, request_id_of
from gateway.further_models import refuse_further_models
from gateway.hints import MEMORY_SUFFIX, read_route_hints, read_untraced
from gateway.identity import Clues, read_caller, read_said
from gateway.opening import fingerprint, working_folder
from gateway.retries import repeated_by
from gateway.sessions import SESSIONS
from lair.common.v1.caller_pb2 import (
    IDENTITY_SOURCE_CONVERSATION,
    IDENTITY_SOURCE_DERIVED,
    Caller,
)
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall
from svckit.errors import ServiceError


def address(
    request: web.Request, call: ChatCall | CompletionCall | EmbeddingCall, endpoint: str
) -> None:
    """Put on a call what its request says beside the body: who asks, and where it may go."""
    refuse_further_models(call.extra_json, key_of(request))
    call.request_id = request_id_of(request)
    call.caller.CopyFrom(_caller(request, call))
    call.route.CopyFrom(read_route_hints(request.headers, key_of(request)))
    call.untraced = read_untraced(request.headers)
    call.endpoint = endpoint
    call.retry_of = repeated_by(request)
    if call.model.endswith(MEMORY_SUFFIX):
        call.model = call.model.removesuffix(MEMORY_SUFFIX)


def join_conversation(call: ChatCall) -> None:
    """Take a chat's conversation, found after it was addressed, for a session it lacks."""
    if call.caller.session_source == IDENTITY_SOURCE_DERIVED and call.memory.conversation_id:
        call.caller.session_id = call.memory.conversation_id
        call.caller.session_source = IDENTITY_SOURCE_CONVERSATION


@contextmanager
def prompt_in(field: str) -> Iterator[None]:
    """Name `field` where a failure is about the prompt's length."""
    try:
        yield
    except ServiceError as error:
        if error.reason == "CONTEXT_LENGTH_EXCEEDED":
            error.metadata.setdefault("field", field)
        raise


def _caller(request: web.Request, call: ChatCall | CompletionCall | EmbeddingCall) -> Caller:
    """Read who asks. A chat without a session is given one by how it begins."""
    key, said = key_of(request), read_said(call.extra_json)
    project = request.match_info.get("project", "")
    if not isinstance(call, ChatCall):
        return read_caller(request.headers, Clues(key, project, said))
    looks_for_folder = request.app[SETTINGS].gateway.project_from_prompt
    folder = partial(working_folder, call) if looks_for_folder else str
    clues = Clues(key, project, said, call.memory.conversation_id, folder)
    caller = read_caller(request.headers, clues)
    if not caller.session_id:
        chat = fingerprint(call, caller.key_id, caller.user_id, caller.client)
        caller.session_id = request.app[SESSIONS].name(chat)
        caller.session_source = IDENTITY_SOURCE_DERIVED
    return caller
