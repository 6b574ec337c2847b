"""Run one service alone: open it, serve it over gRPC, stop when asked."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from svckit.grpc_server import Servicers, serving
from svckit.lifecycle import stop_requested
from svckit.logging import get_logger

log = get_logger(__name__)


async def serve_until_stopped(
    opened: AbstractAsyncContextManager[Servicers], address: str, *, grace_seconds: float = 5.0
) -> None:
    """Serve what `opened` yields on `address` until the process is asked to stop.

    Running calls may go on for `grace_seconds` then.
    """
    async with (
        opened as servicers,
        serving(servicers, address, grace_seconds=grace_seconds) as port,
    ):
        log.info("serving", address=address, port=port)
        await stop_requested()
        servicers.stopping()
        log.info("stopping")
