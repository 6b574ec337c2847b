"""Tell whether a child is ready: gRPC health checks, and HTTP."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from launcher.supervisor import Probe
from svckit.channels import connect

_LIMIT_SECONDS = 1.0


def serves_grpc(address: str) -> Probe:
    """Return a probe that is content with SERVING from the server at `address`."""

    async def probe() -> bool:
        async with connect(address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its stub file names no method
            try:
                reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_LIMIT_SECONDS)
            except grpc.aio.AioRpcError:
                return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


def answers_http(url: str) -> Probe:
    """Return a probe that is content with status 200 from `url`."""
    limit = aiohttp.ClientTimeout(total=_LIMIT_SECONDS)

    async def probe() -> bool:
        try:
            async with aiohttp.ClientSession(timeout=limit) as session, session.get(url) as reply:
                return reply.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError):
            return False

    return probe
