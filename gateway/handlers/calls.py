"""What handlers of model calls have in common, whatever is asked of the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from gateway.context import request_id_of
from gateway.hints import read_route_hints, read_untraced
from gateway.identity import read_caller
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.completion_pb2 import CompletionCall
from lair.router.v1.embedding_pb2 import EmbeddingCall
from svckit.errors import ServiceError


def address(
    request: web.Request, call: ChatCall | CompletionCall | EmbeddingCall, endpoint: str
) -> None:
    """Put on a call what its request says beside the body: who asks, and where it may go."""
    call.request_id = request_id_of(request)
    call.caller.CopyFrom(read_caller(request.headers))
    call.route.CopyFrom(read_route_hints(request.headers))
    call.untraced = read_untraced(request.headers)
    call.endpoint = endpoint


@contextmanager
def prompt_in(field: str) -> Iterator[None]:
    """Name `field` where a failure is about the prompt's length."""
    try:
        yield
    except ServiceError as error:
        if error.reason == "CONTEXT_LENGTH_EXCEEDED":
            error.metadata.setdefault("field", field)
        raise
