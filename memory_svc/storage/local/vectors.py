"""Nearest vectors by FAISS: one exact index for each owner, a cache of the stored rows.

Nothing is kept here that the rows do not hold: an owner's index is built on the
first search and thrown away when many others were searched since. FAISS works in
one thread of its own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from memory_svc.model import Vector

Ids = NDArray[np.int64]
T = TypeVar("T")

_MOST_OWNERS = 64


class VectorIndex:
    """Indexes by (owner, model), loaded with `load(owner, model, dimensions)`."""

    def __init__(self, load: Callable[[int, str, int], Awaitable[tuple[Ids, Vector]]]) -> None:
        self._load = load
        self._indexes: OrderedDict[tuple[int, str], Any] = OrderedDict()
        # Held while an index is loaded or changed, so that no change falls between
        # the rows that were read and the index made of them.
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="faiss")

    async def search(
        self, owner: int, model: str, vector: Vector, limit: int, among: Sequence[int] | None = None
    ) -> dict[int, float]:
        """Return the cosine of the `limit` nearest by message id; only `among` if given."""
        async with self._lock:
            index = await self._index(owner, model, vector.size)
        return await self._run(_search, index, vector, limit, among)

    async def add(self, owner: int, model: str, ids: Sequence[int], vectors: Vector) -> None:
        """Add vectors whose rows are stored; one that is there already is replaced."""
        async with self._lock:
            index = self._indexes.get((owner, model))
            if index is not None:
                await self._run(_add, index, np.array(ids, dtype=np.int64), vectors)

    async def remove(self, owner: int, ids: Sequence[int]) -> None:
        """Forget vectors whose rows are gone."""
        async with self._lock:
            for (index_owner, _), index in self._indexes.items():
                if index_owner == owner:
                    await self._run(index.remove_ids, np.array(ids, dtype=np.int64))

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _index(self, owner: int, model: str, dimensions: int) -> Any:
        index = self._indexes.get((owner, model))
        if index is None:
            ids, vectors = await self._load(owner, model, dimensions)
            index = await self._run(_build, ids, vectors, dimensions)
            self._indexes[owner, model] = index
        self._indexes.move_to_end((owner, model))
        if len(self._indexes) > _MOST_OWNERS:
            self._indexes.popitem(last=False)
        return index

    async def _run(self, call: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(call, *arguments))


def _build(ids: Ids, vectors: Vector, dimensions: int) -> Any:
    import faiss  # noqa: PLC0415  # half a second that the start need not wait for

    index = faiss.IndexIDMap2(faiss.IndexFlatIP(dimensions))
    index.add_with_ids(vectors, ids)
    return index


def _add(index: Any, ids: Ids, vectors: Vector) -> None:
    index.remove_ids(ids)
    index.add_with_ids(vectors, ids)


def _search(
    index: Any, vector: Vector, limit: int, among: Sequence[int] | None
) -> dict[int, float]:
    import faiss  # noqa: PLC0415  # loaded by `_build` before

    count = min(limit, index.ntotal)
    if not count or (among is not None and not among):
        return {}
    parameters = None
    if among is not None:
        selector = faiss.IDSelectorBatch(np.array(among, dtype=np.int64))
        parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # its stub knows no fields
    cosines, ids = index.search(vector.reshape(1, -1), count, params=parameters)
    # FAISS fills up with -1 where fewer are allowed than asked for.
    return {int(i): float(c) for i, c in zip(ids[0], cosines[0], strict=True) if i >= 0}
