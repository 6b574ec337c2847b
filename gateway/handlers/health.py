"""GET /health: how lair is, in one look, for people and supervisors."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from gateway.clients import HEALTH_SECONDS, Clients, ask
from gateway.context import CLIENTS, SETTINGS, request_id_of
from gateway.dialects.rest_backends import backend_json, state_word
from gateway.handlers.replies import json_reply
from lair.memory.v1.recall_service_pb2 import GetIndexStatusRequest, GetIndexStatusResponse
from lair.router.v1.router_service_pb2 import (
    BackendState,
    Journal,
    ListBackendsRequest,
    ListBackendsResponse,
)
from svckit.errors import ServiceError
from svckit.settings import Settings

Report = dict[str, Any]
_CAUSES = {
    "SERVICE_UNAVAILABLE": "it is not reachable",
    "DEADLINE_EXCEEDED": f"it did not answer within {HEALTH_SECONDS:g} s",
}
_USABLE = (BackendState.BACKEND_STATE_UP, BackendState.BACKEND_STATE_LOADING)


async def health(request: web.Request) -> web.Response:
    """Report on every service and backend; 503 only where no chat can be answered."""
    clients, settings = request.app[CLIENTS], request.app[SETTINGS]
    request_id = request_id_of(request)
    router, memory, metrics, backends, index = await asyncio.gather(
        _service(clients, "router", request_id),
        _service(clients, "memory", request_id),
        _service(clients, "metrics", request_id),
        _backends(clients, request_id),
        _index(clients, request_id),
    )
    services = {"router": router, "memory": memory, "metrics": metrics}
    for name in _switched_off(settings):
        services[name] = {"status": "off"}
    degraded = [
        *_service_faults(services),
        *(_backend_faults(backends) if router["status"] == "up" else ()),
        *(_journal_faults(backends) if backends else ()),
        *(_index_faults(index) if services["memory"]["status"] == "up" else ()),
    ]
    down = router["status"] == "down"
    report = {
        "status": "down" if down else "degraded" if degraded else "ok",
        "services": services,
        "backends": {b.name: backend_json(b) for b in backends.backends} if backends else {},
        "journals": {j.service: _journal_json(j) for j in backends.journals} if backends else {},
        "memory": _index_json(index) if services["memory"]["status"] == "up" else None,
        "degraded": degraded,
    }
    return json_reply(report, status=503 if down else 200)


async def _service(clients: Clients, name: str, request_id: str) -> Report:
    """Ask one service whether it serves; one in this process is up as we are."""
    stub = clients.health[name]
    if stub is None:
        return {"status": "up", "transport": "in-process"}
    begin = time.perf_counter()
    try:
        answer = await ask(
            name,
            stub.Check,  # type: ignore[attr-defined]  # types-grpcio forgets the stub's methods
            HealthCheckRequest(),
            request_id=request_id,
            seconds=HEALTH_SECONDS,
        )
    except ServiceError as error:
        return {"status": "down", "error": _CAUSES.get(error.reason, error.message)}
    if answer.status != HealthCheckResponse.SERVING:
        return {"status": "down", "error": "it is stopping"}
    return {"status": "up", "ms": round((time.perf_counter() - begin) * 1000, 2)}


async def _backends(clients: Clients, request_id: str) -> ListBackendsResponse | None:
    try:
        return await ask(
            "router",
            clients.router.ListBackends,
            ListBackendsRequest(),
            request_id=request_id,
            seconds=HEALTH_SECONDS,
        )
    except ServiceError:
        return None  # the report says so


async def _index(clients: Clients, request_id: str) -> GetIndexStatusResponse | None:
    try:
        return await ask(
            "memory",
            clients.recall.GetIndexStatus,
            GetIndexStatusRequest(),
            request_id=request_id,
            seconds=HEALTH_SECONDS,
        )
    except ServiceError:
        return None  # the report says so


def _switched_off(settings: Settings) -> list[str]:
    sections = {"memory": settings.memory.enabled, "metrics": settings.metrics.enabled}
    return [name for name, enabled in sections.items() if not enabled]


def _service_faults(services: dict[str, Report]) -> list[str]:
    consequences = {
        "router": "no request can be answered",
        "memory": "chats are answered without their history",
        "metrics": "requests are counted later",
    }
    return [
        f"The {name} service is down ({report['error']}): {consequences[name]}."
        for name, report in services.items()
        if report["status"] == "down"
    ]


def _journal_json(journal: Journal) -> dict[str, int]:
    return {"pending": journal.pending_count, "dropped": journal.dropped_count}


def _journal_faults(backends: ListBackendsResponse) -> list[str]:
    return [
        f"{journal.dropped_count} finished requests were not delivered to {journal.service} and "
        "are given up: the log says why."
        for journal in backends.journals
        if journal.dropped_count
    ]


def _backend_faults(backends: ListBackendsResponse | None) -> list[str]:
    if backends is None:
        return ["The router does not say how its backends are."]
    if not backends.backends:
        return ["No backend is configured or was found: start Ollama or name one in lair.toml."]
    down = [backend for backend in backends.backends if backend.state not in _USABLE]
    faults = [
        f"The backend {backend.name} is {state_word(backend)}: "
        f"{backend.last_error or 'it does not answer'}."
        for backend in down
    ]
    if len(down) == len(backends.backends):
        faults.insert(0, "No backend answers: no chat can be answered.")
    return faults


def _index_faults(index: GetIndexStatusResponse | None) -> list[str]:
    if index is None:
        return ["The memory service does not say how its index is."]
    if index.model_state == "failed":
        cause = f"The embedding model {index.model} failed ({index.model_error})"
        return [f"{cause}: the past is searched by words only."]
    return []


def _index_json(index: GetIndexStatusResponse | None) -> Report | None:
    if index is None:
        return None
    return {
        "model": index.model,
        "state": index.model_state,
        "error": index.model_error or None,
        "indexed": index.indexed_count,
        "pending": index.pending_count,
    }
