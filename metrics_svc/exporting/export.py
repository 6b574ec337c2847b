"""An export, page by page: from the ledger to pieces of a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from enum import Enum
from typing import Protocol
from zoneinfo import ZoneInfo

from metrics_svc.exporting.archive import Archive
from metrics_svc.exporting.writers import JsonLines, Requests, Sheet
from metrics_svc.model import Position, RequestRow, Scope
from metrics_svc.storage.base import MetricsStore

# Held in memory at a time, with a piece of the file.
_PAGE = 500
_PIECE = 1 << 18


class Form(Enum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"
    ZIP = "zip"


class _File(Protocol):
    def begin(self) -> Iterator[bytes]: ...
    def add(self, requests: Sequence[RequestRow]) -> Iterator[bytes]: ...
    def end(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


async def exported(
    store: MetricsStore, scope: Scope, form: Form, zone: ZoneInfo, now: datetime
) -> AsyncGenerator[bytes]:
    """Yield a file with the requests of `scope`, the latest first, in pieces.

    Each page is read by itself, so writing goes on meanwhile: a request that is counted
    late, while the export runs, may be in it or not. Every other one is in it once.
    """
    file = _file(scope, form, zone, now)
    try:
        async with aclosing(_pieces(file.begin())) as pieces:
            async for piece in pieces:
                yield piece
        async for rows in _pages(store, scope):
            async with aclosing(_pieces(file.add(rows))) as pieces:
                async for piece in pieces:
                    yield piece
        async with aclosing(_pieces(file.end())) as pieces:
            async for piece in pieces:
                yield piece
    finally:
        file.close()


async def _pages(store: MetricsStore, scope: Scope) -> AsyncGenerator[Sequence[RequestRow]]:
    after: Position | None = None
    while True:
        # Nothing is held open while somebody slow takes a page.
        async with store.reading() as ledger:
            page = await ledger.requests(scope, _PAGE, after)
        if page.rows:
            yield page.rows
        after = page.next
        if after is None:
            return


async def _pieces(texts: Iterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield what `texts` make, beside the event loop, in pieces that fit a message."""
    while (text := await _in_thread(texts)) is not None:
        for begin in range(0, len(text), _PIECE):
            yield text[begin : begin + _PIECE]


async def _in_thread(texts: Iterator[bytes]) -> bytes | None:
    """Return the next text; who is cancelled waits for the thread, which still writes."""
    step = asyncio.create_task(asyncio.to_thread(next, texts, None))
    try:
        return await asyncio.shield(step)
    finally:
        await asyncio.wait({step})


def _file(scope: Scope, form: Form, zone: ZoneInfo, now: datetime) -> _File:
    if form is Form.ZIP:
        about = {
            "time_zone": zone.key,
            "user_id": scope.user or None,
            "project": scope.project or None,
            "key_id": scope.key or None,
        }
        return Archive(zone, about, now)
    return _Plain(Requests(zone) if form is Form.CSV else JsonLines(zone))


class _Plain:
    """One sheet, as it is."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def begin(self) -> Iterator[bytes]:
        yield self._sheet.head()

    def add(self, requests: Sequence[RequestRow]) -> Iterator[bytes]:
        yield self._sheet.add(requests)

    def end(self) -> Iterator[bytes]:
        yield from ()

    def close(self) -> None:
        """Do nothing: all of it was sent."""
