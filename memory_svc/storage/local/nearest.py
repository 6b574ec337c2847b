"""FAISS's indexes of packed vectors, by row: rows are numbered as they are added.

Both keep a signed byte for each dimension, as the database does, and nothing beside it.
`Compared` holds all against a question. `Grouped` (IVF-SQ8) visits only the groups that
are nearest to it; finding groups takes seconds, so that is worth it for many only.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memory_svc.model import Vector

Packed = NDArray[np.int8]
Rows = NDArray[np.int64]

# Groups for each root of their number, and how many vectors of each their centres are made of.
_GROUPS, _TRAINED_ON, _ROUNDS = 0.5, 48, 6
_VISITED = 10  # one of so many groups is visited, and
_LEAST_VISITED = 8
_BLOCK = 8192
_MOST = 127
# FAISS has an unsigned byte for a number from -128.
_SIGN = np.uint8(128)


class Index(Protocol):
    """Vectors by row."""

    def add(self, packed: Packed) -> None:
        """Add vectors behind the last row."""
        ...

    def replace(self, rows: Rows, packed: Packed) -> None:
        """Put others in the place of vectors."""
        ...

    def read(self, rows: Rows) -> Vector:
        """Return vectors of rows, as long as they are packed."""
        ...

    def search(self, query: Vector, count: int, selected: NDArray[np.bool_] | None) -> Rows:
        """Return the rows of about the `count` nearest, best first; only `selected` unless None."""
        ...


class Compared:
    """Every vector is compared with every question."""

    def __init__(self, dimensions: int) -> None:
        faiss = _faiss()
        kind, metric = faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
        self._index = faiss.IndexScalarQuantizer(dimensions, kind, metric)

    def add(self, packed: Packed) -> None:
        """Add vectors behind the last row."""
        self._index.add_sa_codes(packed.view(np.uint8) ^ _SIGN)

    def replace(self, rows: Rows, packed: Packed) -> None:
        """Put others in the place of vectors."""
        self._codes()[rows] = packed.view(np.uint8) ^ _SIGN

    def read(self, rows: Rows) -> Vector:
        """Return vectors of rows, as long as they are packed."""
        return (self._codes()[rows] ^ _SIGN).view(np.int8).astype(np.float32)

    def search(self, query: Vector, count: int, selected: NDArray[np.bool_] | None) -> Rows:
        """Return the rows of the `count` nearest, best first; only `selected` unless None."""
        return _search(self._index, query, count, _faiss().SearchParameters(), selected)

    def _codes(self) -> NDArray[np.uint8]:
        """Return FAISS's own memory, which moves when vectors are added."""
        count, size = self._index.ntotal, self._index.d
        codes: NDArray[np.uint8] = _faiss().rev_swig_ptr(self._index.codes.data(), count * size)
        return codes.reshape(count, size)


class Grouped:
    """Vectors in groups around centres, which are found among the vectors of `sample`."""

    def __init__(self, sample: Vector, count: int) -> None:
        faiss = _faiss()
        groups = max(min(int(np.sqrt(count) * _GROUPS), len(sample)), 1)
        dimensions = sample.shape[1]
        self._index = faiss.IndexIVFScalarQuantizer(
            *(faiss.IndexFlatIP(dimensions), dimensions, groups),
            *(faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT, False),
        )
        means = self._index.cp
        means.niter, means.spherical, means.min_points_per_centroid = _ROUNDS, True, 1
        self._index.train(sample)
        # Where each row is, so that it can be read and replaced.
        self._index.set_direct_map_type(faiss.DirectMap.Array)
        self._visited = min(max(groups // _VISITED, _LEAST_VISITED), groups)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, packed: Packed) -> None:
        """Add vectors behind the last row."""
        _faiss()
        for first in range(0, len(packed), _BLOCK):
            self._index.add(packed[first : first + _BLOCK].astype(np.float32))

    def replace(self, rows: Rows, packed: Packed) -> None:
        """Put others in the place of vectors."""
        _faiss()
        self._index.update_vectors(rows, packed.astype(np.float32))

    def read(self, rows: Rows) -> Vector:
        """Return vectors of rows, as long as they are packed."""
        _faiss()
        return np.asarray(self._index.reconstruct_batch(rows))

    def search(self, query: Vector, count: int, selected: NDArray[np.bool_] | None) -> Rows:
        """Return the rows of about the `count` nearest, best first; only `selected` unless None.

        Where few are selected, there may be fewer in the groups that are visited.
        """
        parameters = _faiss().SearchParametersIVF()
        parameters.nprobe = self._visited
        return _search(self._index, query, count, parameters, selected)


def sample_rows(count: int) -> Rows:
    """Return which of `count` rows centres of groups are made of."""
    wanted = int(np.sqrt(count) * _GROUPS) * _TRAINED_ON
    return np.arange(0, count, max(count // max(wanted, 1), 1))


def _search(
    index: Any, query: Vector, count: int, parameters: Any, selected: NDArray[np.bool_] | None
) -> Rows:
    # What it compares with bytes, FAISS cuts to whole numbers.
    whole = np.rint(query * (_MOST / max(float(np.abs(query).max()), 1e-12)))
    selector = None
    if selected is not None:
        selector = _faiss().IDSelectorBitmap(np.packbits(selected, bitorder="little"))
        parameters.sel = selector  # a pointer: `selector` must live until the search has ended
    _, rows = index.search(whole.astype(np.float32).reshape(1, -1), count, params=parameters)
    found: Rows = rows[0]
    return found[found >= 0]  # FAISS fills up with -1 where what it visited holds fewer


def _faiss() -> Any:
    """Return FAISS, set to use the calling thread alone: others would wait for a free core."""
    import faiss  # noqa: PLC0415  # half a second that the start need not wait for

    faiss.omp_set_num_threads(1)
    return faiss
