"""Wait for another service no longer than its deadline, whatever that service does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import grpc

from svckit.errors import ServiceError, from_rpc_error

_Response = TypeVar("_Response")


async def within(seconds: float | None, call: Awaitable[_Response], *, service: str) -> _Response:
    """Return the answer of a call that `service` was given `seconds` for; None is no limit.

    Raises `ServiceError`. The call still needs `timeout=seconds` of its own, which tells
    the service; but that one does not pass while a large request waits for the socket of
    a frozen process, so the wait is limited here as well.
    """
    try:
        if seconds is None:
            return await call
        async with asyncio.timeout(seconds):
            return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error, service) from error
    except TimeoutError as error:
        raise ServiceError(
            "DEADLINE_EXCEEDED",
            f"the {service} service did not answer within {seconds:g} s",
            service=service,
        ) from error
