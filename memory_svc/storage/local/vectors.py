"""The vectors of one owner by the passages' places on their shelf, held by FAISS alone.

They are packed to a signed byte for each dimension, and of the same length, so that what
FAISS compares are cosines. Few are compared one by one; `Grouping` makes groups of many,
beside what goes on. What becomes of the rows is `nearest.py`'s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memory_svc.model import Vector
from memory_svc.storage.local.columns import grown
from memory_svc.storage.local.nearest import Compared, Grouped, Index, Packed, Rows, sample_rows

Places = NDArray[np.int64]
Allowed = NDArray[np.bool_]

# Beyond it groups are faster, although it takes longer to read vectors out of them.
_MOST_COMPARED = 150_000
_NOWHERE = -1
_BLOCK = 8192
# Left out by searching for more is faster than by asking of each.
_FEW = 1000
_MOST = 127
# Rarely is any of a vector's numbers larger than so many times their root mean square.
_SPREAD = 6.0
_TOO_LONG = 1.02


class Vectors:
    """The vectors of one kind, at most one for each place."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._index: Index = Compared(dimensions)
        self._places: Places = np.empty(0, dtype=np.int64)  # of each row
        self._rows: Rows = np.empty(0, dtype=np.int64)  # of each place
        # What makes a packed vector's length 1.
        self._scales: Vector = np.empty(0, dtype=np.float32)
        # Rows since groups are being made.
        self._replaced: list[Rows] | None = None

    def __len__(self) -> int:
        return len(self._places)

    @property
    def size_bytes(self) -> int:
        """About how much memory they take."""
        return len(self) * (self._dimensions + 20) + self._rows.nbytes

    @property
    def is_crowded(self) -> bool:
        """Whether searches would be faster in groups."""
        return len(self) > _MOST_COMPARED and isinstance(self._index, Compared)

    def put(self, places: Places, packed: Packed) -> None:
        """Add vectors; those of places that have one are replaced."""
        packed, scales = _even(packed)
        self._make_room(places)
        rows = self._rows[places]
        new = rows == _NOWHERE
        old = rows[~new]
        if len(old):
            self._index.replace(old, packed[~new])
            self._scales[old] = scales[~new]
            if self._replaced is not None:
                self._replaced.append(old)
        if new.any():
            self._rows[places[new]] = np.arange(len(self), len(self) + new.sum())
            self._index.add(packed[new])
            self._places = grown(self._places, places[new])
            self._scales = grown(self._scales, scales[new])

    def nearest(self, query: Vector, count: int, allowed: Allowed | None) -> Places:
        """Return the places of about the `count` nearest; only `allowed` ones unless None."""
        if allowed is None:
            return self._found(query, min(count, len(self)), None)
        excluded = len(allowed) - int(np.count_nonzero(allowed))
        if excluded <= _FEW:
            found = self.nearest(query, count + excluded, None)
            return found[allowed[found]][:count]
        selected = allowed[self._places]
        return self._found(query, min(count, int(np.count_nonzero(selected))), selected)

    def cosines(self, query: Vector, places: Places) -> Vector:
        """Return the cosine of each place's vector; 0 where there is none."""
        cosines = np.zeros(len(places), dtype=np.float32)
        rows = self._rows_of(places)
        has = np.flatnonzero(rows != _NOWHERE)
        for first in range(0, len(has), _BLOCK):
            part = has[first : first + _BLOCK]
            found = rows[part]
            # Not by matrices, whose library starts threads that wait for each other.
            products = np.einsum("ij,j->i", self._index.read(found), query)
            cosines[part] = products * self._scales[found]
        return cosines

    def read(self, places: Places) -> Vector:
        """Return the vectors of a few places; zeros where there is none."""
        vectors = np.zeros((len(places), self._dimensions), dtype=np.float32)
        rows = self._rows_of(places)
        has = rows != _NOWHERE
        vectors[has] = self._index.read(rows[has]) * self._scales[rows[has], None]
        return vectors

    def begin_grouping(self) -> Vector:
        """Return vectors that centres of groups can be found among, and note what changes."""
        self._replaced = []
        return self._index.read(sample_rows(len(self)))

    def part(self, first: int) -> Packed:
        """Return some vectors from this row on; none behind the last."""
        rows = np.arange(first, min(first + _BLOCK, len(self)))
        return self._index.read(rows).astype(np.int8)

    def adopt(self, groups: Grouped) -> None:
        """Be searched in groups that were filled with parts since `begin_grouping`."""
        while len(part := self.part(len(groups))):
            groups.add(part)
        if self._replaced:
            rows = np.unique(np.concatenate(self._replaced))
            groups.replace(rows, self._index.read(rows).astype(np.int8))
        self._index, self._replaced = groups, None

    def _found(self, query: Vector, count: int, selected: Allowed | None) -> Places:
        if not count:  # FAISS would not look for nothing
            return np.empty(0, dtype=np.int64)
        return self._places[self._index.search(query, count, selected)]

    def _rows_of(self, places: Places) -> Rows:
        rows = np.full(len(places), _NOWHERE)
        known = places < len(self._rows)
        rows[known] = self._rows[places[known]]
        return rows

    def _make_room(self, places: Places) -> None:
        if len(places) and (missing := int(places.max()) + 1 - len(self._rows)) > 0:
            self._rows = grown(self._rows, np.full(missing, _NOWHERE))


def pack(vectors: Vector) -> Packed:
    """Write the directions of vectors, a signed byte for each number."""
    most = np.abs(vectors).max(axis=-1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    whole = _length(vectors.shape[-1]) / np.maximum(lengths, 1e-12)
    # The shorter ones have a number that would not fit.
    fitting = np.minimum(whole, _MOST / np.maximum(most, 1e-12))
    return np.asarray(np.rint(vectors * fitting), dtype=np.int8)


def _length(dimensions: int) -> float:
    """Return how long packed vectors are."""
    return _MOST * max(float(np.sqrt(dimensions)) / _SPREAD, 1.0)


def _even(packed: Packed) -> tuple[Packed, Vector]:
    """Shorten what was packed longer than it is now; return what makes the lengths 1."""
    lengths = np.empty(len(packed), dtype=np.float32)
    for first in range(0, len(packed), _BLOCK):
        part = packed[first : first + _BLOCK].astype(np.float32)
        lengths[first : first + _BLOCK] = np.sqrt(np.einsum("ij,ij->i", part, part))
    length = _length(packed.shape[1])
    longer = np.flatnonzero(lengths > _TOO_LONG * length)
    if len(longer):
        packed = packed.copy()
        packed[longer] = np.rint(packed[longer] * (length / lengths[longer, np.newaxis]))
        lengths[longer] = np.linalg.norm(packed[longer].astype(np.float32), axis=1)
    return packed, np.asarray(1 / np.maximum(lengths, 1), dtype=np.float32)
