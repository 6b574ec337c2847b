"""What waits for vectors in every MemoryStore, and what becomes of it."""

from dataclasses import replace

from memory_svc.model import IndexCounts, Line, VectorKind
from memory_svc.storage.base import MemoryStore
from tests.memory.chats import NOW_US, assistant, user
from tests.memory.stores import MODEL, by_meaning, embed, turn, unit, waiting_texts


async def windows(store: MemoryStore) -> list[tuple[str, str, str]]:
    """Return what waits for a vector with its neighbours: before, itself, after."""
    waiting = await store.unembedded(99)
    return [
        (
            each.before.text if each.before else "",
            each.line.text,
            each.after.text if each.after else "",
        )
        for each in waiting
        if each.kind == VectorKind.WINDOW
    ]


async def test_a_message_waits_until_it_has_its_vectors(store: MemoryStore):
    await store.append([turn("r1", "one", "two")])
    assert await store.index_counts(MODEL) == IndexCounts(0, 2)
    await embed(store, one=unit(1, 0))
    assert await waiting_texts(store) == ["two"]
    assert await store.index_counts(MODEL) == IndexCounts(1, 1)


async def test_a_message_has_a_vector_alone_and_one_with_its_neighbours(store: MemoryStore):
    await store.append([turn("r1", "one", "two", "three")])
    waiting = await store.unembedded(99)
    assert [each.kind for each in waiting] == [VectorKind.ALONE, VectorKind.WINDOW] * 3
    assert await windows(store) == [
        ("", "one", "two"),
        ("one", "two", "three"),
        ("two", "three", ""),
    ]


async def test_a_window_is_made_anew_when_a_neighbour_comes(store: MemoryStore):
    await store.append([turn("r1", "one")])
    await embed(store, one=unit(1, 0))
    await store.append([turn("r2", "one", "two")])
    assert await windows(store) == [("", "one", "two"), ("one", "two", "")]
    assert await store.index_counts(MODEL) == IndexCounts(1, 2)


async def test_a_window_made_before_its_neighbour_came_is_not_stored(store: MemoryStore):
    await store.append([turn("r1", "one")])
    early = await store.unembedded(9)
    await store.append([turn("r2", "one", "two")])
    await store.put_vectors(MODEL, [(each, unit(1, 0)) for each in early])
    assert await windows(store) == [("", "one", "two"), ("one", "two", "")]


async def test_a_deleted_neighbour_takes_the_window_with_it(store: MemoryStore):
    await store.append([turn("r1", "one", "two", "three")])
    await embed(store, one=unit(1, 0), two=unit(1, 1), three=unit(0, 1))
    conversation = await store.conversation("ann", "c")
    assert conversation is not None
    [_, two, _] = await store.messages(conversation.key, -1, 9, include_inactive=False)
    assert await store.delete_message(conversation.key, two.id, NOW_US)
    assert await windows(store) == [("", "one", "three"), ("one", "three", "")]
    assert set(await by_meaning(store, unit(1, 1))) == {"one", "three"}


async def test_a_deleted_end_takes_the_window_before_it(store: MemoryStore):
    await store.append([turn("r1", "one"), turn("r2", "one", "two", "three")])
    await embed(store, one=unit(1, 0), two=unit(1, 1), three=unit(0, 1))
    assert await store.delete_turn("ann", "r2", NOW_US) == 2
    assert await windows(store) == [("", "one", "")]


async def test_another_model_wants_vectors_of_its_own(store: MemoryStore):
    await store.append([turn("r1", "one")])
    await embed(store, one=unit(1, 0))
    await store.await_vectors(MODEL)
    assert await store.unembedded(9) == []
    await store.await_vectors("other")
    assert await waiting_texts(store) == ["one"]
    assert await store.index_counts("other") == IndexCounts(0, 1)


async def test_the_third_failure_gives_a_vector_up_for_this_model(store: MemoryStore):
    await store.append([turn("r1", "bad", "good")])
    bad = [each for each in await store.unembedded(9) if each.line.text == "bad"]
    for _ in range(3):
        assert "bad" in await waiting_texts(store)
        for each in bad:
            await store.embedding_failed(MODEL, each, "why")
    await store.await_vectors(MODEL)
    assert await waiting_texts(store) == ["good"]
    await store.await_vectors("other")
    assert await waiting_texts(store) == ["bad", "good"]


async def test_what_failed_waits_behind_the_others(store: MemoryStore):
    await store.append([turn("r1", "bad", "good")])
    [first, *_] = await store.unembedded(9)
    await store.embedding_failed(MODEL, first, "why")
    assert (await store.unembedded(9))[-1] == first


async def test_the_speaker_is_the_name_or_the_role(store: MemoryStore):
    named = user("hi")
    named.name = "Ann"
    await store.append([replace(turn("r1"), messages=(named,), reply=assistant("ho"))])
    waiting = await store.unembedded(9)
    assert {each.line for each in waiting} == {Line("Ann", "hi"), Line("assistant", "ho")}


async def test_a_vector_of_a_deleted_message_is_dropped(store: MemoryStore):
    await store.append([turn("r1", "one")])
    waiting = await store.unembedded(9)
    await store.delete("ann", "c", NOW_US)
    await store.put_vectors(MODEL, [(each, unit(1, 0)) for each in waiting])
    assert await store.index_counts(MODEL) == IndexCounts(0, 0)
    assert await store.unembedded(9) == []
