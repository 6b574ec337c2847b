"""Delete requests that were kept long enough, in the background: now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from metrics_svc.storage.base import Kept, MetricsStore
from svckit.logging import get_logger

log = get_logger(__name__)

_PAUSE_SECONDS = 3600.0


async def tidy_up(store: MetricsStore, kept: Kept, clock: Callable[[], int]) -> None:
    """Tidy the store until cancelled."""
    while True:
        try:
            if deleted := await store.prune(kept, clock()):
                log.info("old requests deleted, their sums kept", requests=deleted)
        except Exception:
            # This task's edge: a full disk passes.
            log.exception("old requests not deleted", seconds=_PAUSE_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)
