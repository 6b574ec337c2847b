"""The shelves that are loaded: kept up with what is stored, and forgotten when too many.

Whatever changes a shelf does so under one lock, so that no change falls between the
rows that were read and the shelf made of them. Numbers are crunched in one thread.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np

from memory_svc.model import Vector, VectorKind
from memory_svc.storage.local.shelf import COLUMNS, NOWHERE, Shelf
from memory_svc.storage.local.vectors import Vectors, unpack
from svckit.sqlite import Database

T = TypeVar("T")

_MOST_BYTES = 160_000_000

_ROWS = f"""
select {COLUMNS} from passage_trait where owner = ? and message > ? order by message
"""  # noqa: S608  # constant text

_VECTORS = """
select v.message, v.vector from passage_trait as t
cross join vector as v on v.message = t.message and v.kind = :kind
where t.owner = :owner and v.model = :model and length(v.vector) = :size
order by v.message
"""


class Shelves:
    """Loads owners' shelves from the database on the first search of each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loaded: OrderedDict[int, Shelf] = OrderedDict()
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="search")

    async def shelf(self, owner: int) -> Shelf:
        """Return an owner's shelf with all that is stored."""
        async with self._lock:
            return await self._shelf(owner)

    async def shelf_with_vectors(self, owner: int, model: str, dimensions: int) -> Shelf:
        """Return an owner's shelf with all that is stored, and the vectors of `model`."""
        async with self._lock:
            shelf = await self._shelf(owner)
            outgrown = any(each.is_outgrown for each in shelf.vectors.values())
            if (shelf.model, shelf.dimensions) != (model, dimensions) or outgrown:
                for kind in VectorKind:
                    await self._load_vectors(shelf, owner, model, kind, dimensions)
                shelf.model, shelf.dimensions = model, dimensions
                self._make_room()
            return shelf

    async def put(
        self, owner: int, model: str, kind: VectorKind, ids: Sequence[int], vectors: Vector
    ) -> None:
        """Add vectors whose rows are stored, if the owner's are loaded."""
        async with self._lock:
            shelf = self._loaded.get(owner)
            if shelf is None or shelf.model != model:
                return
            await self._catch_up(shelf, owner)
            await self.run(_put, shelf, kind, np.array(ids, dtype=np.int64), vectors)

    async def drop(self, owner: int) -> None:
        """Forget a shelf, some of whose messages are gone."""
        async with self._lock:
            self._loaded.pop(owner, None)

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call in the thread that shelves are worked with."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(call, *arguments))

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _shelf(self, owner: int) -> Shelf:
        is_new = owner not in self._loaded
        shelf = self._loaded.setdefault(owner, Shelf())
        self._loaded.move_to_end(owner)
        await self._catch_up(shelf, owner)
        if is_new:
            self._make_room()
        return shelf

    async def _catch_up(self, shelf: Shelf, owner: int) -> None:
        rows = await self._database.fetch(_ROWS, (owner, shelf.last_id))
        await self.run(shelf.add, rows)

    async def _load_vectors(
        self, shelf: Shelf, owner: int, model: str, kind: VectorKind, dimensions: int
    ) -> None:
        # A vector takes a byte for each dimension.
        wanted = {"owner": owner, "kind": kind, "model": model, "size": dimensions}
        rows = await self._database.fetch(_VECTORS, wanted)
        shelf.vectors.pop(kind, None)
        if rows:
            await self.run(_load, shelf, kind, rows, dimensions)

    def _make_room(self) -> None:
        """Forget those searched longest ago, but never the last."""
        held = sum(shelf.size_bytes for shelf in self._loaded.values())
        while held > _MOST_BYTES and len(self._loaded) > 1:
            _, forgotten = self._loaded.popitem(last=False)
            held -= forgotten.size_bytes


def _load(shelf: Shelf, kind: VectorKind, rows: Sequence[Any], dimensions: int) -> None:
    places = shelf.places(np.array([row["message"] for row in rows], dtype=np.int64))
    known = places != NOWHERE
    vectors = unpack([row["vector"] for row in rows], dimensions)
    if known.any():
        shelf.vectors[kind] = Vectors(places[known], vectors[known])


def _put(shelf: Shelf, kind: VectorKind, ids: Any, vectors: Vector) -> None:
    places = shelf.places(ids)
    known = places != NOWHERE
    if not known.any() or vectors.shape[1] != shelf.dimensions:
        return
    if kind in shelf.vectors:
        shelf.vectors[kind].put(places[known], vectors[known])
    else:
        shelf.vectors[kind] = Vectors(places[known], vectors[known])
