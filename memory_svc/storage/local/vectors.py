"""Nearest vectors of one owner by FAISS, by the passages' places on their shelf.

Exact while they are few. Beyond `_MOST_EXACT` vectors they are kept in bytes and
grouped (IVF-SQ8), and a search visits the groups nearest to it. A vector that is put
again is a new row; the old one stays, unreachable, until the shelf is loaded anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_svc.model import Vector

Places = NDArray[np.int64]
Allowed = NDArray[np.bool_]

_MOST_EXACT = 5000
_TRAINED_ON = 48  # vectors for each group
_VISITED = 10  # one of so many groups is visited
_NONE = -1


class Vectors:
    """The vectors of one kind, of at most one for each place."""

    def __init__(self, places: Places, vectors: Vector) -> None:
        self._index = _build(vectors)
        self._groups = getattr(self._index, "nlist", 0)
        self._places = np.empty(0, dtype=np.int64)
        self._rows = np.empty(0, dtype=np.int64)
        self._note(places)

    @property
    def is_outgrown(self) -> bool:
        """Whether loading them anew would make searches faster or spare memory."""
        rows = len(self._places)
        crowded = rows > 2 * _MOST_EXACT and not self._groups
        return crowded or (rows > _MOST_EXACT and 2 * self._live < rows)

    @property
    def size_bytes(self) -> int:
        """About how much memory they take."""
        return int(len(self._places) * (self._index.sa_code_size() + 24))

    def put(self, places: Places, vectors: Vector) -> None:
        """Add vectors; those of places that have one are replaced."""
        self._index.add(vectors)
        self._note(places)

    def nearest(self, query: Vector, count: int, allowed: Allowed | None) -> Places:
        """Return the places of the `count` nearest; only `allowed` ones unless None."""
        reachable = self._places >= 0
        if allowed is not None:
            reachable[reachable] = allowed[self._places[reachable]]
        rows, _ = self._search(query, min(count, int(reachable.sum())), reachable)
        return self._places[rows]

    def cosines(self, query: Vector, places: Places) -> Vector:
        """Return the cosine of each place's vector; 0 where there is none."""
        rows = np.full(len(places), _NONE)
        known = places < len(self._rows)
        rows[known] = self._rows[places[known]]
        reachable = np.zeros(len(self._places), dtype=np.bool_)
        reachable[rows[rows >= 0]] = True
        found, of_found = self._search(query, int(reachable.sum()), reachable, everywhere=True)
        cosines: Vector = np.zeros(len(self._places) + 1, dtype=np.float32)
        cosines[found] = of_found
        return np.asarray(cosines[rows])  # the last is nobody's

    def _search(
        self, query: Vector, count: int, reachable: Allowed, *, everywhere: bool = False
    ) -> tuple[Places, Vector]:
        """Return the rows of the `count` nearest `reachable` ones, and their cosines."""
        import faiss  # noqa: PLC0415  # loaded by `_build` before

        if not count:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        if self._groups:
            parameters: Any = faiss.SearchParametersIVF()
            parameters.nprobe = self._groups if everywhere else max(self._groups // _VISITED, 8)
        else:
            parameters = faiss.SearchParameters()
        bitmap: Any = faiss.IDSelectorBitmap  # its stub knows FAISS's own arguments only
        # FAISS keeps a pointer to it: it must live until the search has ended.
        selector = bitmap(np.packbits(reachable, bitorder="little"))
        parameters.sel = selector
        cosines, rows = self._index.search(query.reshape(1, -1), count, params=parameters)
        found = rows[0] >= 0  # FAISS fills up with -1 where what it visited holds fewer
        nearest: tuple[Places, Vector] = rows[0][found], cosines[0][found]
        return nearest

    @property
    def _live(self) -> int:
        return int((self._rows >= 0).sum())

    def _note(self, places: Places) -> None:
        """Tell the last rows their places, and the places their rows."""
        first = len(self._places)
        if len(places) and (missing := int(places.max()) + 1 - len(self._rows)) > 0:
            self._rows = np.append(self._rows, np.full(missing, _NONE))
        replaced = self._rows[places]
        self._places[replaced[replaced >= 0]] = _NONE
        self._places = np.append(self._places, places)
        self._rows[places] = np.arange(first, first + len(places))


def pack(vector: Vector) -> bytes:
    """Write a vector's direction, a signed byte for each dimension."""
    most = max(float(np.abs(vector).max()), 1e-12)
    return bytes(np.round(vector * (127 / most)).astype(np.int8).tobytes())


def unpack(packed: Sequence[bytes], dimensions: int) -> Vector:
    """Read vectors that `pack` wrote, normalised."""
    written = np.frombuffer(b"".join(packed), dtype=np.int8).reshape(len(packed), dimensions)
    vectors = written.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1), dtype=np.float32)


def _build(vectors: Vector) -> Any:
    import faiss  # noqa: PLC0415  # half a second that the start need not wait for

    count, dimensions = vectors.shape
    if count <= _MOST_EXACT:
        index: Any = faiss.IndexFlatIP(dimensions)
        index.add(vectors)
        return index
    groups = int(np.sqrt(count))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dimensions),
        *(dimensions, groups, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False),
    )
    index.cp.niter = 8
    index.train(vectors[:: max(count // (groups * _TRAINED_ON), 1)])
    index.add(vectors)
    return index
