"""Nearest vectors: exact while few, by groups when many, replaced and left out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from memory_svc.storage.local import vectors as module
from memory_svc.storage.local.vectors import Vectors, pack, unpack

SIZE = 32


def some(count: int, seed: int = 1) -> NDArray[np.float32]:
    """Return vectors in loose groups, as texts have them."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(20, SIZE))
    rows = centres[chance.integers(0, 20, count)] + chance.normal(size=(count, SIZE)) * 0.7
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_nearest_equals_brute_force():
    rows = some(500)
    found = Vectors(np.arange(500), rows).nearest(rows[7], 10, None)
    assert list(found) == list(np.argsort(-(rows @ rows[7]))[:10])


def test_only_allowed_places_are_found():
    rows = some(500)
    allowed = np.arange(500) % 7 == 3
    found = Vectors(np.arange(500), rows).nearest(rows[7], 20, allowed)
    assert len(found) == 20
    assert allowed[found].all()
    assert not len(Vectors(np.arange(500), rows).nearest(rows[7], 20, np.zeros(500, dtype=bool)))


def test_a_place_has_the_last_vector_put_there():
    rows = some(10)
    vectors = Vectors(np.arange(5), rows[:5])
    vectors.put(np.array([2, 7]), rows[5:7])
    assert vectors.cosines(rows[5], np.array([2])) == pytest.approx([1])
    assert list(vectors.nearest(rows[5], 99, None)) != []
    assert sorted(vectors.nearest(rows[5], 99, None)) == [0, 1, 2, 3, 4, 7]


def test_a_place_without_a_vector_has_no_cosine():
    vectors = Vectors(np.array([1, 3]), some(2))
    assert [cosine != 0 for cosine in vectors.cosines(some(1)[0], np.arange(6))] == [
        *(False, True, False, True, False, False)
    ]


class TestMany:
    @pytest.fixture(autouse=True)
    def few_are_many(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(module, "_MOST_EXACT", 2000)

    def test_most_of_the_nearest_are_found(self):
        rows = some(6000)
        vectors = Vectors(np.arange(6000), rows)
        shares = []
        for query in rows[:40]:
            best = set(np.argsort(-(rows @ query))[:20].tolist())
            shares.append(len(best & set(vectors.nearest(query, 20, None).tolist())) / 20)
        assert np.mean(shares) > 0.9

    def test_cosines_are_near_enough_and_of_any_place(self):
        rows = some(6000)
        vectors = Vectors(np.arange(6000), rows)
        places = np.array([5999, 0, 17, 3000])
        assert vectors.cosines(rows[0], places) == pytest.approx(rows[places] @ rows[0], abs=0.02)

    def test_they_take_a_byte_for_each_dimension(self):
        assert Vectors(np.arange(6000), some(6000)).size_bytes < 6000 * (SIZE + 32)

    def test_too_many_replaced_ones_ask_for_a_new_load(self):
        rows = some(6000)
        vectors = Vectors(np.arange(3000), rows[:3000])
        assert not vectors.is_outgrown
        vectors.put(np.arange(3000), rows[3000:])
        assert not vectors.is_outgrown
        vectors.put(np.arange(3000), rows[:3000])
        assert vectors.is_outgrown

    def test_what_outgrows_exact_search_asks_for_a_new_load(self):
        rows = some(6000)
        vectors = Vectors(np.arange(1000), rows[:1000])
        vectors.put(np.arange(1000, 6000), rows[1000:])
        assert vectors.is_outgrown
        assert not Vectors(np.arange(6000), rows).is_outgrown


def test_packed_vectors_keep_their_direction():
    rows = some(50)
    read = unpack([pack(row) for row in rows], SIZE)
    assert np.linalg.norm(read, axis=1) == pytest.approx(np.ones(50), abs=1e-5)
    assert (read * rows).sum(axis=1).min() > 0.999
    assert len(pack(rows[0])) == SIZE
    assert unpack([pack(np.zeros(SIZE, dtype=np.float32))], SIZE).tolist() == [[0.0] * SIZE]
