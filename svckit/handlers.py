"""What happens around every RPC: the request's id in the logs, errors translated.

The same for both transports: `grpc_server` and `inprocess` wrap each method with
`translating`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
from grpc_status import rpc_status

from svckit.errors import ServiceError, to_status
from svckit.logging import REQUEST_ID_KEY, bind_request_id, get_logger

log = get_logger(__name__)


def translating(handler: Any) -> Any:
    """Wrap a method so that `ServiceError` becomes a rich status, anything else INTERNAL."""
    if handler.unary_unary:
        return grpc.unary_unary_rpc_method_handler(
            _unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )
    if handler.unary_stream:
        return grpc.unary_stream_rpc_method_handler(
            _stream(handler.unary_stream), handler.request_deserializer, handler.response_serializer
        )
    return handler  # reflection's bidirectional stream has no errors of ours


def _bind(context: Any) -> None:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY:
            bind_request_id(value)
            return


async def _abort(context: Any, error: Exception) -> None:
    if isinstance(error, NotImplementedError):  # what the contract's base class raises
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no service answers this method yet")
    if not isinstance(error, ServiceError):
        log.error("call failed", exc_info=error)
        error = ServiceError("INTERNAL", "a fault in lair itself; its log says more")
    await context.abort_with_status(rpc_status.to_status(to_status(error)))


def _unary(call: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapped(request: Any, context: Any) -> Any:
        _bind(context)
        try:
            return await call(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001  # the process edge
            return await _abort(context, error)

    return wrapped


def _stream(call: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapped(request: Any, context: Any) -> AsyncIterator[Any]:
        _bind(context)
        try:
            async with aclosing(call(request, context)) as items:
                async for item in items:
                    yield item
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001  # the process edge
            await _abort(context, error)

    return wrapped
