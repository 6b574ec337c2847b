"""Puts the router together: backends, catalogue, journals, service."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import grpc

from lair.router.v1.router_service_pb2_grpc import add_RouterServiceServicer_to_server
from router_svc.backends.base import Backend
from router_svc.backends.kinds import make_backend
from router_svc.backends.recall import RecallBackend
from router_svc.catalog import Catalog
from router_svc.chats import Chats
from router_svc.completions import Completions
from router_svc.delivery import to_memory, to_metrics
from router_svc.devices import Devices
from router_svc.embeddings import Embeddings
from router_svc.leftovers import Leftovers
from router_svc.life import Ledger
from router_svc.line import Priority
from router_svc.live import Live
from router_svc.modes import Modes
from router_svc.otlp.telling import telling
from router_svc.queue import QueueLimits
from router_svc.recalling import Recalling
from router_svc.reload import Reloader
from router_svc.remembering import Memories
from router_svc.service import DESCRIPTOR, RouterService
from router_svc.standing import Standings
from router_svc.summarising import Summarising
from router_svc.tokens import TokenEstimator
from svckit import settings as schema
from svckit.channels import connect
from svckit.config import load_settings
from svckit.errors import ServiceError
from svckit.grpc_server import Servicers
from svckit.hangup import on_hangup
from svckit.logging import get_logger
from svckit.outbox import Outbox
from svckit.serve import serve_until_stopped
from svckit.settings import Settings

log = get_logger(__name__)

_TURN_BATCH = 100
_TURN_LINGER_SECONDS = 0.02
_RECORD_LINGER_SECONDS = 0.2
_FLUSH_SECONDS = 5.0


@asynccontextmanager
async def open_service(
    settings: Settings,
    *,
    memory: grpc.aio.Channel,
    metrics: grpc.aio.Channel,
    reread: Callable[[], Settings] = load_settings,
) -> AsyncIterator[Servicers]:
    """Open the router; at the end deliver what is pending, within a few seconds.

    `reread` reads the configuration again, for SIGHUP and `ReloadBackends`.
    """
    turns, records = _outboxes(settings, memory, metrics)
    catalog = _catalog(settings, memory)
    estimator, live = TokenEstimator(), Live()
    ledger = Ledger(
        *(records, settings.metrics.enabled, settings.memory.default_user, estimator, live)
    )
    priority = Priority(settings.router.default_priority)
    chats = _chats(settings, catalog, memory, turns, ledger, estimator=estimator)
    completions = Completions(catalog, ledger, estimator=estimator, default_priority=priority)
    embeddings = Embeddings(catalog, ledger, default_priority=priority)
    built_in = partial(_built_in, memory=memory)
    reloader = Reloader(catalog, reread, built_in)
    service = RouterService(
        *(chats, completions, embeddings, catalog, reloader),
        gaming_unload=settings.router.gaming_unload,
        live=live,
    )
    try:
        async with telling(settings, live, catalog), asyncio.TaskGroup() as tasks:
            owned = [
                tasks.create_task(task)
                for task in (
                    catalog.watch(),
                    turns.drain(),
                    records.drain(),
                    _reload_on_hangup(reloader),
                )
            ]
            await catalog.refresh(if_older=True)
            yield _offered(service, catalog, live)
            await catalog.standings.leftovers.finish()
            live.news.close()
            await _flush(turns, records)
            for task in owned:
                task.cancel()
    finally:
        await catalog.close()
        turns.close()
        records.close()


async def run(settings: Settings) -> None:
    """Serve the router alone until the process is asked to stop."""
    async with (
        connect(settings.address("memory")) as memory,
        connect(settings.address("metrics")) as metrics,
    ):
        opened = open_service(settings, memory=memory, metrics=metrics)
        grace = settings.gateway.drain_seconds
        await serve_until_stopped(opened, settings.listen("router"), grace_seconds=grace)


def check(settings: Settings) -> None:
    """Raise `ConfigError` for a backend that cannot be made of its settings."""
    for config in settings.backends:
        make_backend(config)


def _offered(service: RouterService, catalog: Catalog, live: Live) -> Servicers:
    def stopping() -> None:
        live.news.close()  # who watches would keep the router from ending
        catalog.standings.leftovers.stopping()

    return Servicers(
        "router",
        (DESCRIPTOR,),
        (lambda server: add_RouterServiceServicer_to_server(service, server),),
        stopping,
    )


def _outboxes(
    settings: Settings, memory: grpc.aio.Channel, metrics: grpc.aio.Channel
) -> tuple[Outbox, Outbox]:
    limit = settings.router.spool_mb * 1024 * 1024
    folder = settings.data_dir / "router"
    turns = Outbox(
        "memory",
        folder / "turns",
        to_memory(memory),
        batch_size=_TURN_BATCH,
        limit_bytes=limit,
        linger_seconds=_TURN_LINGER_SECONDS,
    )
    records = Outbox(
        "metrics",
        folder / "records",
        to_metrics(metrics),
        batch_size=settings.metrics.batch_size,
        limit_bytes=limit,
        linger_seconds=_RECORD_LINGER_SECONDS,
    )
    return turns, records


def _catalog(settings: Settings, memory: grpc.aio.Channel) -> Catalog:
    return Catalog(
        _backends(settings, memory),
        probe_seconds=settings.router.probe_seconds,
        discover_ports=settings.router.discover_ports if settings.router.discover else (),
        standings=_standings(settings),
        aliases=settings.router.aliases,
    )


def _chats(
    settings: Settings,
    catalog: Catalog,
    memory: grpc.aio.Channel,
    turns: Outbox,
    ledger: Ledger,
    *,
    estimator: TokenEstimator,
) -> Chats:
    priority, model = Priority(settings.router.default_priority), settings.router.summary_model
    memories = Memories(
        memory,
        turns,
        enabled=settings.memory.enabled,
        timeout_seconds=settings.router.memory_timeout_ms / 1000,
        policy_of=settings.memory_policy,
    )
    recalling = Recalling(
        *(memory, estimator),
        enabled=settings.memory.recall,
        timeout_seconds=settings.memory.recall_timeout_ms / 1000,
        tokens=settings.memory.recall_tokens,
    )
    return Chats(
        *(catalog, memories, recalling),
        turns=turns,
        ledger=ledger,
        estimator=estimator,
        default_priority=priority,
        summarising=Summarising(
            *(model, catalog, ledger), estimator=estimator, default_priority=priority
        )
        if model
        else None,
    )


def _standings(settings: Settings) -> Standings:
    limits = QueueLimits(settings.router.max_waiting, settings.router.max_wait_seconds)
    return Standings(
        Modes(settings.data_dir / "router" / "modes.json"),
        Devices(limits),
        Leftovers(settings.gateway.drain_seconds),
    )


def _backends(settings: Settings, memory: grpc.aio.Channel) -> list[Backend]:
    return [*map(make_backend, settings.backends), *_built_in(settings, memory)]


def _built_in(settings: Settings, memory: grpc.aio.Channel) -> list[Backend]:
    """Make what every configuration has."""
    backends: list[Backend] = []
    if settings.llamacpp.gguf:
        url = f"http://127.0.0.1:{settings.llamacpp_port}/v1"
        backends.append(make_backend(schema.Backend(name="llamacpp", url=url)))
    backends.append(RecallBackend(memory, passages=settings.memory.context_limit))
    return backends


async def _reload_on_hangup(reloader: Reloader) -> None:
    """Reload at SIGHUP, unless a terminal closed; a fault of the configuration is logged."""
    hangup = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        on_hangup(hangup.set)
    except (RuntimeError, ValueError):
        return  # not the main thread: `ReloadBackends` does the same
    try:
        while True:
            await hangup.wait()
            hangup.clear()
            with contextlib.suppress(ServiceError):  # told by the log
                await reloader.reload()
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


async def _flush(*outboxes: Outbox) -> None:
    delivered = await asyncio.gather(*(outbox.flush(_FLUSH_SECONDS) for outbox in outboxes))
    if not all(delivered):
        count = sum(outbox.pending_count() for outbox in outboxes)
        log.warning("left for the next start", finished_requests=count)
