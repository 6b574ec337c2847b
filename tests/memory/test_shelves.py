"""What is kept of owners' memories between searches: loaded once, kept up, made room for."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from memory_svc.model import Probe, SearchFilter, VectorKind
from memory_svc.storage.local import gathering, shelves, vectors
from memory_svc.storage.local.nearest import Grouped
from memory_svc.storage.local.shelf import Shelf
from memory_svc.storage.local.store import LocalStore, open_local_store
from tests.memory.chats import NOW_US
from tests.memory.stores import EVERYTHING, MODEL, by_meaning, by_words, turn, unit

ANN = 1  # the number of the first user


def loaded(store: LocalStore) -> dict[int, Shelf]:
    return dict(store._shelves._loaded)


async def settled(store: LocalStore) -> None:
    """Wait until nothing is done in the background any more."""
    while tasks := store._shelves._tasks:
        await asyncio.wait(set(tasks))


async def begun(store: LocalStore) -> None:
    """Wait until something is done in the background."""
    while not store._shelves._tasks:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(0)


async def said(store: LocalStore, count: int, first: int = 0) -> None:
    """Let ann say words by number, each in a direction of its own."""
    texts = [f"word{n}" for n in range(first, first + count)]
    await store.append([turn(f"r{first}", *texts, conversation_id=f"c{first}")])
    await embedded(store)


async def embedded(store: LocalStore) -> None:
    waiting = await store.unembedded(10_000)
    made = [(each, direction(int(each.line.text[4:]))) for each in waiting]
    await store.put_vectors(MODEL, made)


def direction(number: int) -> np.ndarray:
    return unit(*np.random.default_rng(number).normal(size=16))


async def nearest(store: LocalStore, numbers: Sequence[int]) -> list[str]:
    """Return what is found first for the direction of each."""
    found = [await by_meaning(store, direction(number)) for number in numbers]
    return [max(each, key=each.__getitem__) for each in found]


async def test_a_search_that_is_given_up_still_loads_the_memory(store: LocalStore):
    await said(store, 30)
    probe = Probe(vector=direction(7), bare_vector=direction(7), model=MODEL)
    search = asyncio.create_task(store.evidence("ann", probe, EVERYTHING, 5))
    await begun(store)
    search.cancel()
    await asyncio.wait([search])
    assert search.cancelled()
    await settled(store)
    assert len(loaded(store)[ANN].vectors[VectorKind.WINDOW]) == 30


async def test_messages_may_come_while_it_is_searched(store: LocalStore):
    where = SearchFilter(exclude_conversation_id="c0")

    async def say() -> None:
        for n in range(0, 60, 3):
            await said(store, 3, first=n)

    async def search() -> None:
        while not telling.done():
            await by_meaning(store, direction(4), where=where)
            assert "word1" not in await by_words(store, "word1", "word4", where=where)

    telling = asyncio.create_task(say())
    await asyncio.gather(*(search() for _ in range(3)))
    await telling
    assert await nearest(store, range(60)) == [f"word{n}" for n in range(60)]


async def test_what_comes_is_added_to_what_is_loaded(store: LocalStore):
    await said(store, 10)
    await by_meaning(store, direction(1))
    before = loaded(store)[ANN]
    await said(store, 10, first=10)
    assert await nearest(store, range(20)) == [f"word{n}" for n in range(20)]
    assert loaded(store)[ANN] is before
    assert before.mean_length == 1


async def test_a_memory_that_grows_large_is_searched_in_groups(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vectors, "_MOST_COMPARED", 50)
    await said(store, 40)
    await by_meaning(store, direction(1))
    await said(store, 40, first=40)
    await settled(store)
    assert all(isinstance(v._index, Grouped) for v in loaded(store)[ANN].vectors.values())
    assert await nearest(store, range(80)) == [f"word{n}" for n in range(80)]
    await said(store, 5, first=80)
    assert await nearest(store, range(85)) == [f"word{n}" for n in range(85)]


async def test_a_memory_that_is_large_already_is_searched_in_groups(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vectors, "_MOST_COMPARED", 50)
    monkeypatch.setattr(shelves, "_PAGE", 7)
    await said(store, 80)
    assert await nearest(store, range(80)) == [f"word{n}" for n in range(80)]
    await settled(store)
    assert all(isinstance(v._index, Grouped) for v in loaded(store)[ANN].vectors.values())
    assert await nearest(store, range(80)) == [f"word{n}" for n in range(80)]


async def test_of_a_large_memory_the_best_by_words_and_by_meaning_are_candidates(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    for name, least in (("_ALL_CANDIDATES", 10), ("_LEAST_BY_WORDS", 6), ("_LEAST_BY_MEANING", 4)):
        monkeypatch.setattr(gathering, name, least)
    await said(store, 100)
    probe = Probe(("word50",), vector=direction(7), bare_vector=direction(7), model=MODEL)
    evidence = await store.evidence("ann", probe, EVERYTHING, 1)
    found = {f"word{n - 1}" for n in evidence.message_ids}
    # The turns whose windows have the word, and what is nearest.
    assert {"word49", "word50", "word51", "word52", "word7"} <= found
    assert len(found) <= 14
    place = evidence.message_ids.tolist().index(51)
    assert (evidence.matched[place], evidence.turn[place] > 0) == (1, True)


async def test_those_searched_longest_ago_make_room(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shelves, "_MOST_BYTES", 1)
    for user_id in ("ann", "bob", "cy"):
        await store.append([turn(f"r-{user_id}", "word1", user_id=user_id)])
    await embedded(store)
    for user_id in ("ann", "bob", "ann", "cy"):
        assert await by_meaning(store, direction(1), user_id=user_id) == {"word1": 1}
    assert list(loaded(store)) == [3]


async def test_a_large_one_leaves_room_for_a_small_one(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shelves, "_MOST_BYTES", 1)
    await said(store, 100)
    await store.append([turn("r-bob", "word1", user_id="bob")])
    await embedded(store)
    for user_id in ("ann", "bob"):
        assert await by_meaning(store, direction(1), user_id=user_id)
    assert list(loaded(store)) == [1, 2]


async def test_another_model_takes_the_place_of_its_vectors(store: LocalStore):
    await said(store, 3)
    assert await nearest(store, [1]) == ["word1"]
    assert await by_meaning(store, direction(1), model="other") == {}
    await store.await_vectors("other")
    waiting = await store.unembedded(99)
    await store.put_vectors("other", [(each, unit(1, 0)) for each in waiting])
    assert len(await by_meaning(store, unit(1, 0), model="other")) == 3


async def test_who_spoke_last_is_waited_for_at_the_start(tmp_path: Path):
    async with open_local_store(tmp_path / "memory.db") as store:
        for number, user_id in enumerate(("ann", "bob")):
            await store.append(
                [turn(f"r-{user_id}", "word1", user_id=user_id, at_us=NOW_US + number)]
            )
        await embedded(store)
    async with open_local_store(tmp_path / "memory.db") as store:
        await settled(store)
        [(owner, shelf)] = loaded(store).items()
        assert (owner, len(shelf.vectors[VectorKind.ALONE])) == (2, 1)
        assert await by_meaning(store, direction(1), user_id="bob") == {"word1": 1}
        assert loaded(store)[owner] is shelf
