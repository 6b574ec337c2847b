"""Clear away what deletions leave behind, in the background: at the start and now and then."""

from __future__ import annotations

import asyncio

from memory_svc.storage.base import MemoryStore
from svckit.logging import get_logger

log = get_logger(__name__)

_PAUSE_SECONDS = 10.0


async def tidy_up(store: MemoryStore) -> None:
    """Tidy the store until cancelled."""
    while True:
        try:
            await store.tidy()
        except Exception:
            # This task's edge: a full disk passes.
            log.exception("not tidied up", seconds=_PAUSE_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)
