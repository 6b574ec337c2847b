"""`lair reload`: have a running router read its configuration again."""

from __future__ import annotations

import asyncio
import json

import grpc

from lair.router.v1.router_service_pb2 import ReloadBackendsRequest, ReloadBackendsResponse
from lair.router.v1.router_service_pb2_grpc import RouterServiceStub
from launcher.exits import CommandFailedError
from svckit.channels import connect
from svckit.errors import from_rpc_error
from svckit.settings import Settings

# It asks every backend how it is before it answers.
_LIMIT_SECONDS = 60.0


def reload(settings: Settings, *, as_json: bool) -> None:
    """Print what the configuration changed. Raises `CommandFailedError` where it has a fault."""
    done = asyncio.run(_ask(settings.address("router")))
    change = {
        "added": list(done.added),
        "removed": list(done.removed),
        "changed": list(done.changed),
    }
    if as_json:
        print(json.dumps(change, ensure_ascii=False))  # noqa: T201  # the command's own output
        return
    for what, names in change.items():
        if names:
            print(f"{what:<8} {', '.join(names)}")  # noqa: T201  # the command's own output
    if not any(change.values()):
        print("read again; no backend was added, removed or changed")  # noqa: T201  # the same


async def _ask(address: str) -> ReloadBackendsResponse:
    async with connect(address) as channel:
        try:
            return await RouterServiceStub(channel).ReloadBackends(
                ReloadBackendsRequest(), timeout=_LIMIT_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise _failure(error, address) from error


def _failure(error: grpc.aio.AioRpcError, address: str) -> CommandFailedError:
    failure = from_rpc_error(error, "router")
    if failure.reason == "SERVICE_UNAVAILABLE":
        return CommandFailedError(f"no router answers at {address}; start it with: lair up")
    return CommandFailedError(failure.message)
