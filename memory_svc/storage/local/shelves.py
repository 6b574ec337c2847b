"""The shelves that are loaded: kept up with what is stored, and forgotten when too many.

Whatever changes a shelf does so under its lock, so that no change falls between the rows
that were read and the shelf made of them, and goes on to its end when whoever asked for it
gives up: of a large memory the first question comes too early, and the next one finds the
shelf. Numbers are crunched in one thread, and what takes seconds in another.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np

from memory_svc.model import FIRST_PART, VectorKind
from memory_svc.retrieval.evidence import Ints
from memory_svc.storage.local.nearest import Grouped, Packed
from memory_svc.storage.local.parts import Parts
from memory_svc.storage.local.shelf import COLUMNS, NOWHERE, Shelf
from memory_svc.storage.local.vectors import Vectors
from svckit.logging import get_logger
from svckit.sqlite import Database

T = TypeVar("T")

log = get_logger(__name__)

_MOST_BYTES = 400_000_000
# One that is larger than that leaves room for smaller ones.
_BESIDE_THE_LARGEST = 1.25

_UNKNOWN_MODEL = -1  # the number of models that nothing has a vector of

_PAGE = 2000
_ROWS = f"""
select {COLUMNS} from passage_trait where owner = ? and message > ? order by message limit ?
"""  # noqa: S608  # constant text

_VECTORS = """
select v.message, v.kind, v.vector from passage_trait as t
cross join vector as v on v.message = t.message
where t.owner = :owner and t.message > :after and t.message <= :last
  and v.model = :model and length(v.vector) = :size
order by t.message
"""


_LATEST = """
select t.owner, v.model, length(v.vector) as dimensions from passage_trait as t
join vector as v on v.message = t.message
where t.owner = (select owner from conversation order by updated_us desc limit 1)
order by t.message desc limit 1
"""


@asynccontextmanager
async def open_shelves(database: Database) -> AsyncIterator[Shelves]:
    """Yield the shelves of a database; end what they are doing at the end."""
    shelves = Shelves(database)
    try:
        yield shelves
    finally:
        await shelves.close()


class Shelves:
    """Loads owners' shelves from the database on the first search of each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loaded: OrderedDict[int, Shelf] = OrderedDict()
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._models: dict[str, int] = {}  # numbers by name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._grouped_now: set[Shelf] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="search")
        self._slow_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="loading")

    def warm(self) -> None:
        """Begin to load the memory of who spoke last, for it is likely to be searched first."""
        self._begin(self._warm())

    async def shelf(self, owner: int) -> Shelf:
        """Return an owner's shelf with all that is stored."""
        return await self._to_the_end(self._shelf(owner))

    async def shelf_with_vectors(self, owner: int, model: str, dimensions: int) -> Shelf:
        """Return an owner's shelf with all that is stored, and the vectors of `model`."""
        if model not in self._models:
            rows = await self._database.fetch("select name, key from embedding_model")
            self._models = {row["name"]: row["key"] for row in rows}
        key = self._models.get(model, _UNKNOWN_MODEL)
        return await self._to_the_end(self._shelf(owner, (key, dimensions)))

    async def put(
        self, owner: int, model: int, kind: int, ids: Sequence[int], packed: Packed
    ) -> None:
        """Add vectors whose rows are stored, if the owner's are loaded."""
        await self._to_the_end(self._put(owner, model, kind, np.array(ids, dtype=np.int64), packed))

    async def drop(self, owner: int) -> None:
        """Forget a shelf, some of whose messages are gone."""
        await self._to_the_end(self._drop(owner))

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call in the thread that shelves are worked with."""
        return await _called(self._thread, call, *arguments)

    async def close(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for thread in (self._thread, self._slow_thread):
            thread.shutdown(wait=True, cancel_futures=True)

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do what must not stop half way, even if nobody waits for it any more."""
        return await asyncio.shield(self._begin(work))

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("a memory is not searched as it should be", error=str(error))

    async def _shelf(self, owner: int, vectors: tuple[int, int] | None = None) -> Shelf:
        async with self._locks[owner]:
            shelf = self._loaded.get(owner)
            is_new = shelf is None
            shelf = shelf or Shelf()
            await self._catch_up(shelf, owner)
            reloads = vectors is not None and (shelf.model, shelf.dimensions) != vectors
            if vectors is not None and reloads:
                await self._load_vectors(shelf, owner, *vectors)
            self._loaded[owner] = shelf
            self._loaded.move_to_end(owner)
        if is_new or reloads:
            self._make_room()
        return shelf

    async def _warm(self) -> None:
        for row in await self._database.fetch(_LATEST):
            await self._shelf(row["owner"], (row["model"], row["dimensions"]))

    async def _drop(self, owner: int) -> None:
        async with self._locks[owner]:
            self._loaded.pop(owner, None)

    async def _put(self, owner: int, model: int, kind: int, ids: Ints, packed: Packed) -> None:
        async with self._locks[owner]:
            shelf = self._loaded.get(owner)
            if shelf is None or (shelf.model, shelf.dimensions) != (model, packed.shape[1]):
                return
            await self._catch_up(shelf, owner)
            await self.run(_put, shelf, kind, ids, packed)
            self._group_crowded(shelf)

    async def _catch_up(self, shelf: Shelf, owner: int) -> None:
        """Put on a shelf what was stored since; nobody else writes to the database."""
        ended = self._database.transaction_count
        if shelf.seen == ended:
            return
        while rows := await self._database.fetch(_ROWS, (owner, shelf.last_id, _PAGE)):
            await self.run(shelf.add, rows)
            if len(rows) < _PAGE:
                break
        shelf.seen = ended

    async def _load_vectors(self, shelf: Shelf, owner: int, model: int, dimensions: int) -> None:
        """Put the vectors of a model on a shelf in the place of what is there."""
        vectors: dict[VectorKind, Vectors] = {}
        parts = Parts(dimensions)
        ids, after = shelf.ids, 0
        # A vector takes a byte for each dimension.
        wanted = {"owner": owner, "model": model, "size": dimensions}
        for first in range(0, len(ids), _PAGE):
            last = int(ids[first : first + _PAGE][-1])
            rows = await self._database.fetch(_VECTORS, {**wanted, "after": after, "last": last})
            await _called(self._slow_thread, _load, shelf, vectors, parts, rows)
            after = last
        shelf.vectors, shelf.parts = vectors, parts
        shelf.model, shelf.dimensions = model, dimensions
        self._group_crowded(shelf)

    def _group_crowded(self, shelf: Shelf) -> None:
        if _crowded(shelf) and shelf not in self._grouped_now:
            self._grouped_now.add(shelf)
            self._begin(self._group(shelf))

    async def _group(self, shelf: Shelf) -> None:
        """Make groups of vectors; these are searched and change meanwhile."""
        try:
            while crowded := _crowded(shelf):
                vectors = crowded[0]
                sample = await self.run(vectors.begin_grouping)
                groups = await _called(self._slow_thread, Grouped, sample, len(vectors))
                while len(part := await self.run(vectors.part, len(groups))):
                    await _called(self._slow_thread, groups.add, part)
                await self.run(vectors.adopt, groups)
        finally:
            self._grouped_now.discard(shelf)

    def _make_room(self) -> None:
        """Forget those searched longest ago, but never the last."""
        sizes = {owner: shelf.size_bytes for owner, shelf in self._loaded.items()}
        while len(sizes) > 1:
            most = max(_MOST_BYTES, int(_BESIDE_THE_LARGEST * max(sizes.values())))
            if sum(sizes.values()) <= most:
                return
            owner = next(iter(sizes))
            del sizes[owner], self._loaded[owner]


async def _called(thread: ThreadPoolExecutor, call: Callable[..., T], *arguments: Any) -> T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(thread, partial(call, *arguments))


def _crowded(shelf: Shelf) -> list[Vectors]:
    return [vectors for vectors in shelf.all_vectors() if vectors.is_crowded]


def _load(
    shelf: Shelf, vectors: dict[VectorKind, Vectors], parts: Parts, rows: Sequence[Any]
) -> None:
    """Put rows of `_VECTORS` where the shelf has their messages."""
    if not rows:
        return
    # Not row by row, which would take twice as long.
    ids, kinds, blobs = zip(*rows, strict=True)
    places, of_kind = shelf.places(np.array(ids, dtype=np.int64)), np.array(kinds)
    packed = np.frombuffer(b"".join(blobs), dtype=np.int8).reshape(len(rows), -1)
    for kind in VectorKind:
        _put_into(vectors, kind, places[of_kind == kind], packed[of_kind == kind])
    of_parts = (of_kind >= FIRST_PART) & (places != NOWHERE)
    parts.put(places[of_parts], packed[of_parts])


def _put(shelf: Shelf, kind: int, ids: Ints, packed: Packed) -> None:
    places = shelf.places(ids)
    if kind < FIRST_PART:
        _put_into(shelf.vectors, VectorKind(kind), places, packed)
    elif shelf.parts:
        shelf.parts.put(places[places != NOWHERE], packed[places != NOWHERE])


def _put_into(
    vectors: dict[VectorKind, Vectors], kind: VectorKind, places: Ints, packed: Packed
) -> None:
    known = places != NOWHERE
    if known.any():
        own = vectors[kind] if kind in vectors else Vectors(packed.shape[1])
        own.put(places[known], packed[known])
        vectors[kind] = own
