"""Tells a collector of requests while the router is open; does nothing where none is set.

A request pays for it with one entry in a queue, which loses its oldest where the exporter
does not keep up (`lair_otlp_lost_requests_total`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from router_svc.catalog import Catalog
from router_svc.live import Live
from router_svc.otlp.peers import peer_of
from svckit.logging import get_logger
from svckit.settings import Settings
from svckit.telemetry import OTLP_LOST

if TYPE_CHECKING:  # it needs the extra
    from router_svc.otlp.export import Exporter

log = get_logger(__name__)

_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"


@asynccontextmanager
async def telling(
    settings: Settings, live: Live, catalog: Catalog, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[None]:
    """Tell of requests within the block; at its end send what is left."""
    exporter = _exporter(settings.metrics.otlp_endpoint, catalog, environ)
    if exporter is None:
        yield
        return
    with ThreadPoolExecutor(1, thread_name_prefix="otlp") as thread:
        task = asyncio.create_task(_tell(live, exporter, thread))
        await asyncio.sleep(0)  # it listens from now on
        try:
            yield
        finally:
            live.ended.close()
            await task
            await asyncio.get_running_loop().run_in_executor(thread, exporter.close)


def _exporter(endpoint: str, catalog: Catalog, environ: Mapping[str, str]) -> Exporter | None:
    """Return who tells; None where nobody is to be told, or it cannot be done."""
    where = endpoint or environ.get(_VARIABLE, "")
    if not where:
        return None
    if not endpoint and environ.get(_PROTOCOL, "grpc") != "grpc":
        log.warning(
            "no collector is told of requests: lair speaks OTLP over gRPC only; set "
            "metrics.otlp_endpoint to the collector's gRPC address",
            protocol=environ[_PROTOCOL],
        )
        return None
    try:
        from router_svc.otlp.export import Exporter  # noqa: PLC0415  # it needs the extra
    except ImportError:
        log.warning(
            "no collector is told of requests: this needs the extra otlp; "
            "pip install 'local-ai-router[otlp]'",
            collector=where,
        )
        return None
    return Exporter(endpoint, partial(peer_of, catalog))


async def _tell(live: Live, exporter: Exporter, thread: ThreadPoolExecutor) -> None:
    loop = asyncio.get_running_loop()
    with live.ended.watch() as watcher:
        while True:
            requests, lost = await watcher.next()
            OTLP_LOST.inc(lost)
            if requests:
                await loop.run_in_executor(thread, exporter.tell, requests)
            elif watcher.closed:
                return
