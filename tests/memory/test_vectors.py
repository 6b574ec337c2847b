"""Nearest vectors: all compared while few, in groups when many, replaced and left out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from memory_svc.storage.local import vectors as module
from memory_svc.storage.local.nearest import Grouped
from memory_svc.storage.local.vectors import Vectors, pack

SIZE = 32


def some(count: int, seed: int = 1, size: int = SIZE) -> NDArray[np.float32]:
    """Return vectors in loose groups, as texts have them."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(20, size))
    rows = centres[chance.integers(0, 20, count)] + chance.normal(size=(count, size)) * 0.7
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def put(rows: NDArray[np.float32], places: NDArray[np.int64] | None = None) -> Vectors:
    vectors = Vectors(rows.shape[1])
    vectors.put(np.arange(len(rows)) if places is None else places, pack(rows))
    return vectors


def group(vectors: Vectors) -> None:
    """Make groups as it is done beside searches."""
    groups = Grouped(vectors.begin_grouping(), len(vectors))
    while len(part := vectors.part(len(groups))):
        groups.add(part)
    vectors.adopt(groups)


def recall(vectors: Vectors, rows: NDArray[np.float32], allowed: NDArray[np.bool_] | None) -> float:
    """Return which share of the nearest twenty of brute force is found."""
    shares = []
    for query in rows[:40]:
        cosines = rows @ query
        if allowed is not None:
            cosines[~allowed] = -1
        best = set(np.argsort(-cosines)[:20].tolist())
        shares.append(len(best & set(vectors.nearest(query, 20, allowed).tolist())) / 20)
    return float(np.mean(shares))


@pytest.mark.parametrize("size", [32, 384])
def test_nearest_is_what_brute_force_finds(size: int):
    rows = some(2000, size=size)
    assert recall(put(rows), rows, None) > 0.97


def test_nearest_come_first():
    rows = some(500, size=384)
    assert put(rows).nearest(rows[7], 10, None)[0] == 7


def test_only_allowed_places_are_found():
    rows = some(3000)
    allowed = np.arange(3000) % 7 == 3
    found = put(rows).nearest(rows[7], 20, allowed)
    assert len(found) == 20
    assert allowed[found].all()
    assert recall(put(rows), rows, allowed) > 0.95
    assert not len(put(rows).nearest(rows[7], 20, np.zeros(3000, dtype=bool)))


def test_a_few_that_are_not_allowed_are_left_out():
    rows = some(3000)
    allowed = np.ones(3000, dtype=bool)
    allowed[np.argsort(-(rows @ rows[7]))[:30]] = False
    found = put(rows).nearest(rows[7], 20, allowed)
    assert len(found) == 20
    assert allowed[found].all()
    assert recall(put(rows), rows, allowed) > 0.95


def test_a_place_has_the_last_vector_put_there():
    rows = some(10)
    vectors = put(rows[:5])
    vectors.put(np.array([2, 7]), pack(rows[5:7]))
    assert vectors.cosines(rows[5], np.array([2])) == pytest.approx([1], abs=0.003)
    assert sorted(vectors.nearest(rows[5], 99, None)) == [0, 1, 2, 3, 4, 7]


def test_a_place_without_a_vector_has_no_cosine():
    found = put(some(2), np.array([1, 3])).cosines(some(1)[0], np.arange(6))
    assert list(np.flatnonzero(found)) == [1, 3]


def test_one_by_one_they_are_the_same_as_at_once():
    rows = some(60)
    slowly = Vectors(SIZE)
    for place in range(60):
        slowly.put(np.array([place]), pack(rows[place : place + 1]))
    assert list(slowly.cosines(rows[0], np.arange(60))) == list(
        put(rows).cosines(rows[0], np.arange(60))
    )
    assert list(slowly.nearest(rows[0], 9, None)) == list(put(rows).nearest(rows[0], 9, None))


def test_vectors_packed_longer_than_now_are_no_nearer_for_it():
    rows = some(500, size=384)
    most = np.abs(rows).max(axis=1, keepdims=True)
    longer = np.rint(rows * 127 / most).astype(np.int8)
    vectors = Vectors(384)
    vectors.put(np.arange(500), np.where(np.arange(500)[:, None] % 2, longer, pack(rows)))
    assert recall(vectors, rows, None) > 0.97
    assert vectors.cosines(rows[3], np.arange(500)) == pytest.approx(rows @ rows[3], abs=0.005)


class TestGrouped:
    def test_most_of_the_nearest_are_found(self):
        rows = some(6000)
        vectors = put(rows)
        group(vectors)
        assert recall(vectors, rows, None) > 0.9
        assert recall(vectors, rows, np.arange(6000) % 2 == 0) > 0.9

    def test_cosines_stay_what_they_were(self):
        rows = some(6000)
        vectors = put(rows)
        places = np.array([5999, 0, 17, 3000, 9999])
        before = vectors.cosines(rows[0], places)
        group(vectors)
        assert vectors.cosines(rows[0], places) == pytest.approx(before, abs=1e-4)
        assert before[:-1] == pytest.approx(rows[places[:-1]] @ rows[0], abs=0.02)

    def test_those_that_come_and_change_later_are_found(self):
        rows = some(6000)
        vectors = put(rows[:3000])
        group(vectors)
        vectors.put(np.arange(3000, 5000), pack(rows[3000:5000]))
        vectors.put(np.arange(1000), pack(rows[5000:]))
        for place, row in ((4000, 4000), (500, 5500), (1500, 1500)):
            assert place in vectors.nearest(rows[row], 3, None)
        assert 500 not in vectors.nearest(rows[500], 3, None)
        assert len(vectors) == 5000

    def test_what_comes_and_changes_while_groups_are_made_is_found(self):
        rows = some(6000)
        vectors = put(rows[:3000])
        groups = Grouped(vectors.begin_grouping(), 3000)
        groups.add(vectors.part(0))
        vectors.put(np.arange(10), pack(rows[5000:5010]))
        vectors.put(np.arange(3000, 5000), pack(rows[3000:5000]))
        assert 4000 in vectors.nearest(rows[4000], 3, None)
        vectors.adopt(groups)
        for place, row in ((5, 5005), (1500, 1500), (4000, 4000)):
            assert place in vectors.nearest(rows[row], 3, None)
            assert vectors.cosines(rows[row], np.array([place])) == pytest.approx([1], abs=0.01)

    def test_only_many_are_worth_it(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(module, "_MOST_COMPARED", 2000)
        vectors = put(some(2000))
        assert not vectors.is_crowded
        vectors.put(np.array([2000]), pack(some(1)))
        assert vectors.is_crowded
        group(vectors)
        assert not vectors.is_crowded

    def test_few_vectors_can_be_grouped(self):
        vectors = put(some(3))
        group(vectors)
        assert sorted(vectors.nearest(some(3)[0], 3, None)) == [0, 1, 2]


def test_they_take_a_byte_for_each_dimension():
    assert put(some(3000)).size_bytes < 3000 * (SIZE + 32)


@pytest.mark.parametrize("size", [2, SIZE, 384])
def test_packed_vectors_keep_their_direction(size: int):
    rows = some(50, size=size)
    packed = pack(rows).astype(np.float32)
    lengths = np.linalg.norm(packed, axis=1)
    assert (packed * rows).sum(axis=1) / lengths == pytest.approx(np.ones(50), abs=0.001)
    assert lengths.max() / lengths.min() < 1.02
    assert len(pack(rows[0]).tobytes()) == size


def test_a_vector_with_one_large_number_is_kept_as_well():
    row = np.full(384, 0.01, dtype=np.float32)
    row[7] = 0.99
    packed = pack(row).astype(np.float32)
    assert packed @ row / np.linalg.norm(packed) == pytest.approx(np.linalg.norm(row), abs=0.01)


def test_a_vector_of_nothing_is_like_nothing():
    vectors = put(np.zeros((2, SIZE), dtype=np.float32))
    assert list(vectors.cosines(some(1)[0], np.arange(2))) == [0, 0]
