"""GET /metrics: the counters of all of lair, as Prometheus reads them."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.clients import HEALTH_SECONDS, ask
from gateway.context import CLIENTS, request_id_of
from lair.common.v1.monitoring_service_pb2 import GetExpositionRequest
from svckit.errors import ServiceError
from svckit.exposition import CONTENT_TYPE, PROCESS_ID, merged
from svckit.telemetry import SERVICE_UP


async def prometheus(request: web.Request) -> web.Response:
    """Return the counters of lair, as Prometheus reads them.

    Those of services in other processes are added to this one's. A service that does not
    answer is left out, which `lair_service_up` tells.
    """
    services = request.app[CLIENTS].monitoring
    answers = await asyncio.gather(*(_figures(request, service) for service in services))
    others = {process: text for process, text in answers if process not in ("", PROCESS_ID)}
    return web.Response(body=merged(others.values()), headers={"content-type": CONTENT_TYPE})


async def _figures(request: web.Request, service: str) -> tuple[str, bytes]:
    """Return the process of a service, and its figures; nothing where it does not answer."""
    try:
        answer = await ask(
            service,
            request.app[CLIENTS].monitoring[service].GetExposition,
            GetExpositionRequest(process_id=PROCESS_ID),
            request_id=request_id_of(request),
            seconds=HEALTH_SECONDS,
        )
    except ServiceError:
        SERVICE_UP.labels(service).set(0)
        return "", b""
    SERVICE_UP.labels(service).set(1)
    return answer.process_id, answer.text
