"""What is forgotten is gone from every MemoryStore, stays away, and is counted right."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory_svc.kept import (
    Everything,
    Forgotten,
    NewNote,
    NoteFilter,
    OneConversation,
    OneProject,
    Target,
    TheseMessages,
)
from memory_svc.model import ConversationFilter, Fate, Recall, TurnFilter
from memory_svc.storage.base import MemoryStore
from memory_svc.storage.local.store import open_local_store
from svckit.times import now_us
from tests.memory.chats import DAY_US, NOW_US, assistant
from tests.memory.stores import by_meaning, by_words, embed, turn, unit

LATER_US = NOW_US + 1_000_000
WORDS = ("one", "two", "three", "four", "five", "six")
EVERY_TARGET = [
    TheseMessages((1, 2, 3)),
    OneConversation("c"),
    OneConversation("notes p"),
    OneProject("p"),
    OneProject("q"),
    Everything(),
]


async def a_life(store: MemoryStore, user_id: str) -> None:
    """Let a user talk in two projects, note, pin, correct, and have something recalled."""
    own: dict[str, Any] = {"user_id": user_id}
    await store.append(
        [
            turn(f"{user_id}1", "one", reply=assistant("two"), project="p", **own),
            turn(f"{user_id}2", "three", conversation_id="d", project="p", **own),
            turn(f"{user_id}3", "four", conversation_id="e", project="q", **own),
        ]
    )
    await store.remember(user_id, "notes p", NewNote("five", project="p", pinned=True), NOW_US)
    await store.remember(user_id, "notes", NewNote("six", pinned=True), NOW_US)
    recalls = [
        a_recall(user_id, f"{user_id}1", "c", "p"),
        a_recall(user_id, "unstored", "elsewhere", "p"),
        a_recall(user_id, "other", "elsewhere", "q"),
    ]
    await store.keep_recalls(recalls)


def a_recall(user_id: str, request_id: str, conversation_id: str, project: str) -> Recall:
    return Recall(user_id, request_id, conversation_id, now_us(), "dog?", project=project)


async def all_of(store: MemoryStore, user_id: str) -> dict[str, Any]:
    """Return what can be seen of a user."""
    conversations = await store.conversations(ConversationFilter(user_id), None, 100)
    turns, _ = await store.turns(TurnFilter(user_id), None, 100)
    requests = (f"{user_id}1", "unstored", "other")
    return {
        "conversations": conversations,
        "messages": [
            await store.messages(each.key, -1, 100, include_inactive=True) for each in conversations
        ],
        "turns": turns,
        "notes": await store.notes(user_id, NoteFilter(), None, 100),
        "words": await by_words(store, *WORDS, user_id=user_id),
        "recalls": [await store.recall(user_id, each) for each in requests],
    }


async def test_messages_go_by_number(store: MemoryStore):
    await a_life(store, "ann")
    forgotten = await store.forget("ann", TheseMessages((1, 3, 999)), LATER_US)
    # The second was all there was of its conversation.
    assert forgotten == Forgotten(messages=2, conversations=1, recalls=1)
    left = await by_words(store, "one", "two", "three", "four")
    assert left == {"two": 1, "four": 1}
    assert await store.conversation("ann", "d") is None
    assert await store.turn("ann", "ann2") is None


async def test_a_message_that_is_a_note_or_pinned_goes_like_any_other(store: MemoryStore):
    await a_life(store, "ann")
    notes = await store.notes("ann", NoteFilter(), None, 9)
    these = TheseMessages(tuple(each.message_id for each in notes))
    assert await store.forget("ann", these, LATER_US) == Forgotten(2, 2, 2)
    assert await store.pinned("ann", "p", 9) == []


async def test_a_conversation_goes_with_all_that_is_its_own(store: MemoryStore):
    await a_life(store, "ann")
    assert await store.forget("ann", OneConversation("c"), LATER_US) == Forgotten(2, 1, 0, 1)
    assert await store.conversation("ann", "c") is None
    assert await by_words(store, "one", "two", "three") == {"three": 1}
    assert await store.recall("ann", "ann1") is None
    late = turn("late", "one", project="p")
    assert await store.append([late]) == [Fate.DELETED]


async def test_a_conversation_that_is_not_there_is_not_forgotten_but_stays_away(
    store: MemoryStore,
):
    assert await store.forget("ann", OneConversation("c"), LATER_US) is None
    assert await store.append([turn("r1", "one")]) == [Fate.DELETED]


async def test_a_project_goes_with_its_notes_and_recalls(store: MemoryStore):
    await a_life(store, "ann")
    assert await store.forget("ann", OneProject("p"), LATER_US) == Forgotten(4, 3, 1, 2)
    left = await all_of(store, "ann")
    assert sorted(each.id for each in left["conversations"]) == ["e", "notes"]
    assert left["words"] == {"four": 1, "six": 1}
    assert [each and each.request_id for each in left["recalls"]] == [None, None, "other"]
    assert await store.notes("ann", NoteFilter("p"), None, 9) == left["notes"]


async def test_turns_of_a_forgotten_project_that_come_late_stay_away(store: MemoryStore):
    await a_life(store, "ann")
    await store.forget("ann", OneProject("p"), LATER_US)
    fates = await store.append(
        [
            turn("l1", "one", conversation_id="new", project="p"),
            turn("l2", "one", conversation_id="c"),
            turn("l3", "one", conversation_id="new", project="q"),
            turn("l4", "one", conversation_id="later", project="p", at_us=LATER_US + 1),
            turn("l5", "one", conversation_id="bobs", project="p", user_id="bob"),
        ]
    )
    assert fates == [Fate.DELETED, Fate.DELETED, Fate.STORED, Fate.STORED, Fate.STORED]


async def test_of_a_user_nothing_stays(store: MemoryStore):
    await a_life(store, "ann")
    assert await store.forget("ann", Everything(), LATER_US) == Forgotten(6, 5, 2, 3)
    assert await all_of(store, "ann") == await all_of(store, "nobody")
    assert (await store.stats("ann")).messages == 0
    assert await store.forget("ann", Everything(), LATER_US) == Forgotten()


async def test_what_a_forgotten_user_asked_before_stays_away(store: MemoryStore):
    await a_life(store, "ann")
    await store.forget("ann", Everything(), LATER_US)
    late = [turn("ann1", "one"), turn("l2", "two", conversation_id="new")]
    new = turn("l3", "three", conversation_id="new", at_us=LATER_US + 1)
    assert await store.append([*late, new]) == [Fate.DELETED, Fate.DELETED, Fate.STORED]
    before = replace(a_recall("ann", "q", "x", ""), at_us=LATER_US - 1)
    await store.keep_recalls([before])
    assert await store.recall("ann", "q") is None
    assert await by_words(store, "one", "two", "three") == {"three": 1}


async def test_a_user_of_whom_nothing_came_yet_is_forgotten_too(store: MemoryStore):
    for target in (OneProject("p"), Everything()):
        assert await store.forget("ann", target, LATER_US) == Forgotten()
    late = [turn("r1", "one", project="p"), turn("r2", "two", conversation_id="d")]
    assert await store.append(late) == [Fate.DELETED, Fate.DELETED]


async def test_a_user_is_forgotten_for_seven_days_of_other_deletions(tmp_path: Path):
    async with open_local_store(tmp_path / "m.db") as store:
        await store.forget("ann", Everything(), NOW_US)
        await store.delete("bob", "x", NOW_US + 7 * DAY_US)
        assert await store.append([turn("r1", "one")]) == [Fate.DELETED]


@pytest.mark.parametrize("target", EVERY_TARGET, ids=str)
async def test_nothing_of_another_user_goes(store: MemoryStore, target: Target):
    await a_life(store, "bob")
    before = await all_of(store, "bob")
    await store.forget("ann", target, LATER_US)
    await a_life(store, "ann")
    await store.forget("ann", target, LATER_US)
    assert await all_of(store, "bob") == before
    assert before["words"] == dict.fromkeys(WORDS, 1)


@pytest.mark.parametrize("target", EVERY_TARGET, ids=str)
async def test_a_preview_counts_the_same_and_changes_nothing(store: MemoryStore, target: Target):
    await a_life(store, "ann")
    before = await all_of(store, "ann")
    shown = await store.forget("ann", target, LATER_US, preview=True)
    assert await all_of(store, "ann") == before
    late = turn("late", "seven", conversation_id="new", project="p")
    assert await store.append([late]) == [Fate.STORED]
    assert await store.delete_turn("ann", "late", NOW_US) == 1
    assert await store.forget("ann", target, LATER_US) == shown
    assert shown is not None
    assert shown.messages > 0


async def test_what_is_forgotten_is_not_found_by_meaning(store: MemoryStore):
    await store.append([turn("r", "one", "two", "three")])
    east = unit(1, 0)
    await embed(store, one=east, two=east, three=east)
    assert len(await by_meaning(store, east)) == 3
    await store.forget("ann", TheseMessages((2,)), LATER_US)
    assert set(await by_meaning(store, east)) == {"one", "three"}


@pytest.mark.parametrize("target", [OneProject("p"), Everything(), TheseMessages((1, 2, 3))])
async def test_no_byte_of_it_stays_in_the_files(tmp_path: Path, target: Target):
    async with open_local_store(tmp_path / "m.db") as store:
        said = [turn("r1", "xylophone", conversation_id="one", user_id="xavier", project="p")]
        await store.append([*said, turn("r2", "kept", user_id="bob")])
        new = NewNote("xylophones forever", project="p", pinned=True)
        await store.remember("xavier", "notes p", new, NOW_US)
        note = await store.remember("xavier", "notes p", NewNote("drum", project="p"), NOW_US)
        await store.correct("xavier", note.message_id, "xylophonist")
        await embed(store, xylophone=unit(1, 0))
        assert holds(tmp_path, b"xylophon")
        forgotten = await store.forget("xavier", replace_ids(target, 1, 3, 4), LATER_US)
        assert forgotten is not None
        assert forgotten.messages == 3
        assert not holds(tmp_path, b"xylophon")
        assert holds(tmp_path, b"xavier") != (target == Everything())


def replace_ids(target: Target, *ids: int) -> Target:
    return TheseMessages(ids) if isinstance(target, TheseMessages) else target


def holds(folder: Path, part: bytes) -> bool:
    return any(part in file.read_bytes() for file in folder.iterdir())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    chosen=st.sets(st.integers(1, 24), max_size=10),
)
async def test_of_any_messages_those_and_only_those_go(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], chosen: set[int]
):
    async with open_local_store(tmp_path_factory.mktemp("m") / "m.db") as store:
        for n, size in enumerate(sizes):
            said = [f"text{n} number{m}" for m in range(size)]
            await store.append([turn(f"r{n}", *said, conversation_id=f"c{n % 2}")])
        numbers = range(1, sum(sizes) + 1)
        texts = await by_words(store, *(f"text{n}" for n in range(len(sizes))))
        assert len(texts) == len(numbers)
        forgotten = await store.forget("ann", TheseMessages(tuple(chosen)), LATER_US)
        assert forgotten is not None
        assert forgotten.messages == len(chosen & set(numbers))
        left = await by_words(store, *(f"text{n}" for n in range(len(sizes))))
        assert set(left) <= set(texts)
        assert len(left) == len(numbers) - forgotten.messages
        assert (await store.stats("ann")).messages == len(left)


CHAT = ("my pin is 1234", "noted", "and my dog", "is Rex")


async def resent(store: MemoryStore, *texts: str, name: str, **other: Any) -> list[str]:
    """Let a client send all of its history again; return the active path."""
    assert await store.append([turn(name, *texts, **other)]) == [Fate.STORED]
    path = await store.active_path("ann", "c")
    assert path is not None
    return [node.message.text for node in path.nodes]


async def forget_texts(store: MemoryStore, *texts: str) -> None:
    conversation = await store.conversation("ann", "c")
    assert conversation is not None
    listed = await store.messages(conversation.key, -1, 100, include_inactive=True)
    ids = tuple(each.id for each in listed if each.message.text in texts)
    assert len(ids) == len(texts)
    assert await store.forget("ann", TheseMessages(ids), LATER_US) is not None


@pytest.mark.parametrize(
    "gone",
    [CHAT[:1], CHAT[1:2], CHAT[:2], CHAT[3:], CHAT[1:4], (CHAT[0], CHAT[2])],
    ids=" + ".join,
)
async def test_a_chat_that_goes_on_does_not_bring_back_what_was_forgotten(
    store: MemoryStore, gone: tuple[str, ...]
):
    await store.append([turn("r1", *CHAT)])
    await forget_texts(store, *gone)
    left = [text for text in CHAT if text not in gone]
    later = LATER_US + 1
    more = await resent(store, *CHAT, "more", "yes", name="r2", at_us=later)
    assert more == [*left, "more", "yes"]
    again = await resent(store, *CHAT, "more", "yes", "again", name="r3", at_us=later)
    assert again == [*more, "again"]
    conversation = await store.conversation("ann", "c")
    assert conversation is not None
    listed = await store.messages(conversation.key, -1, 100, include_inactive=True)
    assert [each.message.text for each in listed] == again
    found = await store.turn("ann", "r3")
    assert found is not None
    assert [each.message.text for each in found.input] == again
    assert conversation.title not in gone


async def test_of_what_follows_the_forgotten_each_is_forgotten_by_itself(store: MemoryStore):
    await store.append([turn("r1", *CHAT)])
    await forget_texts(store, CHAT[2])
    await forget_texts(store, CHAT[1])
    await forget_texts(store, CHAT[0])
    later = LATER_US + 1
    assert await resent(store, *CHAT, "more", name="r2", at_us=later) == ["is Rex", "more"]


async def test_what_is_said_anew_is_kept(store: MemoryStore):
    await store.append([turn("r1", "one", "two", "yes")])
    await forget_texts(store, "yes")
    later = LATER_US + 1
    assert await resent(store, "one", "two", "yes", name="r2", at_us=later) == ["one", "two", "yes"]
    more = await resent(store, "one", "two", "yes", "three", "four", name="r3", at_us=later)
    assert more == ["one", "two", "yes", "three", "four"]


async def test_a_late_attempt_does_not_say_it_anew(store: MemoryStore):
    await store.append([turn("r1", "one", "two", "yes")])
    await forget_texts(store, "yes")
    assert await resent(store, "one", "two", "yes", name="r2", at_us=NOW_US) == ["one", "two"]
