"""GET /health: how lair is, in one look, for people and supervisors."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from gateway.access import ACCESS
from gateway.clients import HEALTH_SECONDS, Clients, ask
from gateway.context import CLIENTS, SETTINGS, request_id_of
from gateway.dialects.errors import CHALLENGE
from gateway.dialects.rest_backends import backend_json, state_word
from gateway.dialects.rest_conversations import index_json
from gateway.dialects.rest_health import Health, JournalHealth, ServiceHealth
from gateway.handlers.replies import administers, json_reply
from lair.memory.v1.recall_service_pb2 import GetIndexStatusRequest, GetIndexStatusResponse
from lair.router.v1.router_service_pb2 import (
    BackendState,
    Journal,
    ListBackendsRequest,
    ListBackendsResponse,
)
from svckit.errors import ServiceError
from svckit.settings import Settings

_CAUSES = {
    "SERVICE_UNAVAILABLE": "it is not reachable",
    "DEADLINE_EXCEEDED": f"it did not answer within {HEALTH_SECONDS:g} s",
}
_USABLE = (BackendState.BACKEND_STATE_UP, BackendState.BACKEND_STATE_LOADING)


async def health(request: web.Request) -> web.Response:
    """Report on every service and backend; 503 only where no chat can be answered.

    Where there are keys, who shows none that may administer learns the status only.
    """
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
        services[name] = ServiceHealth("off")
    has_memory = services["memory"].status == "up"
    degraded = [
        *_service_faults(services),
        *(_backend_faults(backends) if router.status == "up" else ()),
        *(_journal_faults(backends) if backends else ()),
        *(_index_faults(index) if has_memory else ()),
        *request.app[ACCESS].faults(),
    ]
    down = router.status == "down"
    report = Health(
        status="down" if down else "degraded" if degraded else "ok",
        services=services,
        backends={b.name: backend_json(b) for b in backends.backends} if backends else {},
        journals={j.service: _journal_json(j) for j in backends.journals} if backends else {},
        memory=index_json(index) if index and has_memory else None,
        degraded=degraded,
    )
    status = 503 if down else 200
    if administers(request):
        return json_reply(report, status=status)
    short = json_reply({"status": report.status}, status=status)
    short.headers["www-authenticate"] = CHALLENGE
    return short


async def _service(clients: Clients, name: str, request_id: str) -> ServiceHealth:
    """Ask one service whether it serves; one in this process is up as we are."""
    stub = clients.health[name]
    if stub is None:
        return ServiceHealth("up", transport="in-process")
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
        return ServiceHealth("down", error=_CAUSES.get(error.reason, error.message))
    if answer.status != HealthCheckResponse.SERVING:
        return ServiceHealth("down", error="it is stopping")
    return ServiceHealth("up", ms=round((time.perf_counter() - begin) * 1000, 2))


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


def _service_faults(services: dict[str, ServiceHealth]) -> list[str]:
    consequences = {
        "router": "no request can be answered",
        "memory": "chats are answered without their history",
        "metrics": "requests are counted later",
    }
    return [
        f"The {name} service is down ({report.error}): {consequences[name]}."
        for name, report in services.items()
        if report.status == "down"
    ]


def _journal_json(journal: Journal) -> JournalHealth:
    return JournalHealth(pending=journal.pending_count, dropped=journal.dropped_count)


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
