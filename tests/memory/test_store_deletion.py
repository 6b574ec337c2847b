"""What is deleted from a MemoryStore is gone, and stays away."""

from dataclasses import replace
from pathlib import Path

import pytest

from memory_svc.model import Fate, IndexCounts
from memory_svc.storage.base import MemoryStore
from memory_svc.storage.local.store import open_local_store
from tests.memory.chats import DAY_US, NOW_US, assistant, system, user
from tests.memory.stores import by_meaning, by_words, embed, turn, unit

LATER_US = NOW_US + 1


async def test_nothing_derived_is_left(store: MemoryStore):
    await store.append([turn("r1", "east"), turn("r2", "north", conversation_id="d")])
    await embed(store, east=unit(1, 0), north=unit(0, 1))
    assert len(await by_meaning(store, unit(2, 1))) == 2
    assert await store.delete("ann", "c", LATER_US) == 1
    assert await by_words(store, "east", "north") == {"north": 1}
    assert await by_meaning(store, unit(2, 1)) == {"north": 0.45}
    assert await store.index_counts("m") == IndexCounts(1, 0)
    assert await store.delete("ann", "c", LATER_US) is None


async def test_a_late_second_delivery_brings_nothing_back(store: MemoryStore):
    await store.append([turn("r1", "east")])
    await store.delete("ann", "c", LATER_US)
    assert await store.append([turn("r1", "east")]) == [Fate.DELETED]
    await store.delete("ann", "other", LATER_US + 8 * DAY_US)
    assert await store.append([turn("r1", "east")]) == [Fate.DUPLICATE]
    assert await store.conversation("ann", "c") is None


@pytest.mark.parametrize("asked_us", [NOW_US - DAY_US, NOW_US], ids=["before", "the same moment"])
async def test_a_turn_asked_before_the_deletion_is_dropped(store: MemoryStore, asked_us: int):
    await store.append([turn("r1", "east", at_us=NOW_US - 2 * DAY_US)])
    await store.delete("ann", "c", NOW_US)
    late = turn("r2", "north", "pole", at_us=asked_us)
    assert await store.append([late]) == [Fate.DELETED]
    assert await store.conversation("ann", "c") is None
    assert await by_words(store, "north", "pole") == {}
    assert await store.unembedded(9) == []


async def test_a_turn_asked_after_the_deletion_begins_a_new_conversation(store: MemoryStore):
    await store.append([turn("r1", "east")])
    await store.delete("ann", "c", NOW_US)
    late, new = turn("r2", "north"), turn("r3", "south", at_us=LATER_US)
    assert await store.append([late, new, late]) == [Fate.DELETED, Fate.STORED, Fate.DELETED]
    path = await store.active_path("ann", "c")
    assert path is not None
    assert [node.message.text for node in path.nodes] == ["south"]


async def test_a_conversation_deleted_before_its_first_turn_came_does_not_begin(
    store: MemoryStore,
):
    assert await store.delete("ann", "c", LATER_US) is None
    assert await store.append([turn("r1", "east")]) == [Fate.DELETED]
    assert await store.conversation("ann", "c") is None


async def test_only_what_was_deleted_stays_away(store: MemoryStore):
    await store.delete("ann", "c", LATER_US)
    others = [turn("r1", "east", user_id="bob"), turn("r2", "north", conversation_id="d")]
    assert await store.append(others) == [Fate.STORED, Fate.STORED]


async def test_the_latest_of_several_deletions_counts(store: MemoryStore):
    await store.delete("ann", "c", LATER_US)
    await store.delete("ann", "c", NOW_US)
    assert await store.append([turn("r1", "east", at_us=LATER_US)]) == [Fate.DELETED]


async def test_a_deletion_outlives_a_restart_and_seven_days_of_others(tmp_path: Path):
    async with open_local_store(tmp_path / "m.db") as store:
        await store.delete("ann", "c", NOW_US)
        await store.delete("ann", "other", NOW_US + 7 * DAY_US)
    async with open_local_store(tmp_path / "m.db") as store:
        assert await store.append([turn("r1", "east")]) == [Fate.DELETED]
        await store.delete("ann", "other", NOW_US + 7 * DAY_US + 1)
        assert await store.append([turn("r1", "east")]) == [Fate.STORED]


async def test_no_byte_of_it_stays_in_the_files(tmp_path: Path):
    async with open_local_store(tmp_path / "m.db") as store:
        told = turn("r1", "xylophone", conversation_id="about-xylophones")
        await store.append([told, turn("r2", "kept", conversation_id="d")])
        await embed(store, xylophone=unit(1, 0))
        assert holds(tmp_path, b"xylophon")
        await store.delete("ann", "about-xylophones", NOW_US)
        assert not holds(tmp_path, b"xylophon")


async def test_no_byte_of_a_deleted_turn_or_message_stays_in_the_files(tmp_path: Path):
    async with open_local_store(tmp_path / "m.db") as store:
        told = turn(
            "r1",
            messages=(system("xylophone"), user("xylophone one"), user("xylophone two")),
            reply=assistant("xylophone three"),
            other_replies=(assistant("xylophone four"),),
            record=b'{"metadata": {"xylophone": "x"}}',
            conversation_id="c",
        )
        await store.append([turn("r0", "kept"), replace(told, parent_head="active")])
        await embed(store, **{"xylophone two": unit(1, 0)})
        conversation = await store.conversation("ann", "c")
        assert conversation is not None
        for text in ("xylophone one", "xylophone three"):
            messages = await store.messages(conversation.key, -1, 9, include_inactive=False)
            [gone] = [each.id for each in messages if each.message.text == text]
            assert await store.delete_message(conversation.key, gone, NOW_US)
            assert not holds(tmp_path, text.encode())
        assert not holds(tmp_path, b"xylophone four")
        assert await store.delete_turn("ann", "r1", NOW_US) == 1
        assert not holds(tmp_path, b"xylophon")
        assert await by_words(store, "xylophone", "kept") == {"kept": 1}


def holds(folder: Path, part: bytes) -> bool:
    return any(part in file.read_bytes() for file in folder.iterdir())
