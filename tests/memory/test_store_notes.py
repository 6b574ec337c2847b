"""What every MemoryStore does with notes, pins and corrections."""

from typing import Any

from memory_svc.kept import NewNote, Note, NoteFilter
from memory_svc.model import SearchFilter
from memory_svc.storage.base import MemoryStore
from tests.memory.chats import NOW_US, assistant, user
from tests.memory.stores import by_meaning, by_words, embed, turn, unit, waiting_texts

ALL = NoteFilter()


async def remember(store: MemoryStore, text: str, *, user_id: str = "ann", **note: Any) -> Note:
    conversation_id = f"notes {note.get('project', '')}"
    new = NewNote(text, **note)
    return await store.remember(user_id, conversation_id, new, at_us=NOW_US)


async def noted(
    store: MemoryStore, where: NoteFilter = ALL, *, user_id: str = "ann"
) -> list[tuple[str, bool]]:
    return [(each.text, each.pinned) for each in await store.notes(user_id, where, None, 100)]


async def pinned(store: MemoryStore, project: str = "", user_id: str = "ann") -> list[str]:
    return [each.text for each in await store.pinned(user_id, project, 100)]


async def number_of(store: MemoryStore, text: str, conversation_id: str = "c") -> int:
    conversation = await store.conversation("ann", conversation_id)
    assert conversation is not None
    messages = await store.messages(conversation.key, -1, 100, include_inactive=True)
    [found] = [each.id for each in messages if each.message.text == text]
    return found


async def test_a_note_is_a_message_in_a_conversation_of_its_own(store: MemoryStore):
    note = await remember(store, "answer in German", project="p", pinned=True)
    conversation = await store.conversation("ann", "notes p")
    assert conversation is not None
    assert (conversation.title, conversation.project) == ("Notes", "p")
    [message] = await store.messages(conversation.key, -1, 9, include_inactive=False)
    assert (message.id, message.message) == (note.message_id, user("answer in German"))
    assert note == Note(
        message_id=message.id,
        conversation_id="notes p",
        text="answer in German",
        project="p",
        pinned=True,
        created_us=NOW_US,
        role="user",
    )
    assert await by_words(store, "german") == {"answer in German": 1}


async def test_the_same_text_in_the_same_scope_is_kept_once(store: MemoryStore):
    first = await remember(store, "tea", pinned=True)
    again = await remember(store, "tea")
    assert again == first
    elsewhere = await remember(store, "tea", project="p")
    assert elsewhere.message_id != first.message_id
    assert await noted(store) == [("tea", False), ("tea", True)]


async def test_a_note_that_is_there_can_be_pinned_by_remembering_it_again(store: MemoryStore):
    await remember(store, "tea")
    assert (await remember(store, "tea", pinned=True)).pinned


async def test_a_note_that_was_corrected_is_known_by_what_it_says_now(store: MemoryStore):
    note = await remember(store, "tea")
    await store.correct("ann", note.message_id, "coffee")
    assert (await remember(store, "coffee")).message_id == note.message_id
    assert (await remember(store, "tea")).message_id != note.message_id


async def test_notes_are_listed_by_scope_the_latest_first(store: MemoryStore):
    await remember(store, "one")
    await remember(store, "two", project="p", pinned=True)
    await remember(store, "three", project="q")
    await remember(store, "four", user_id="bob")
    assert await noted(store) == [("three", False), ("two", True), ("one", False)]
    assert await noted(store, NoteFilter("p")) == [("two", True), ("one", False)]
    assert await noted(store, NoteFilter(pinned_only=True)) == [("two", True)]
    assert await noted(store, user_id="eve") == []


async def test_pages_of_notes_join_up(store: MemoryStore):
    for n in range(5):
        await remember(store, f"note {n}")
    listed: list[Note] = []
    while page := await store.notes(
        "ann", ALL, (listed[-1].created_us, listed[-1].message_id) if listed else None, 2
    ):
        listed += page
    assert [each.text for each in listed] == [f"note {n}" for n in (4, 3, 2, 1, 0)]


async def test_what_is_pinned_for_a_project_is_not_in_others(store: MemoryStore):
    await remember(store, "for all", pinned=True)
    await remember(store, "for p", project="p", pinned=True)
    await remember(store, "only kept", project="p")
    assert await pinned(store, "p") == ["for p", "for all"]
    assert await pinned(store, "q") == await pinned(store) == ["for all"]
    assert await pinned(store, "p", user_id="bob") == []


async def test_any_message_can_be_pinned_and_unpinned(store: MemoryStore):
    await store.append([turn("r", "my dog", reply=assistant("Rex"))])
    rex = await number_of(store, "Rex")
    note = await store.pin("ann", rex, "p")
    assert note is not None
    assert (note.text, note.role, note.project, note.pinned) == ("Rex", "assistant", "p", True)
    assert await pinned(store, "p") == ["Rex"]
    assert await noted(store) == [("Rex", True)]
    moved = await store.pin("ann", rex, "")
    assert moved is not None
    assert moved.project == ""
    assert await pinned(store) == ["Rex"]
    unpinned = await store.pin("ann", rex, None)
    assert unpinned is not None
    assert not unpinned.pinned
    assert await noted(store) == []
    assert await by_words(store, "rex") == {"Rex": 1}


async def test_a_note_that_is_unpinned_stays_a_note(store: MemoryStore):
    note = await remember(store, "tea", pinned=True)
    assert await store.pin("ann", note.message_id, None) is not None
    assert await noted(store) == [("tea", False)]
    assert await pinned(store) == []


async def test_nobody_pins_or_corrects_what_is_not_theirs(store: MemoryStore):
    note = await remember(store, "tea")
    for user_id, number in (("bob", note.message_id), ("ann", note.message_id + 1)):
        assert await store.pin(user_id, number, "") is None
        assert await store.pin(user_id, number, None) is None
        assert await store.correct(user_id, number, "mine") is None
    assert await noted(store) == [("tea", False)]


async def test_a_correction_is_found_instead_of_what_was_said(store: MemoryStore):
    await store.append([turn("r", "my dog is Rex", reply=assistant("nice"))])
    number = await number_of(store, "my dog is Rex")
    note = await store.correct("ann", number, "my cat is Tom")
    assert note is not None
    assert note.text == "my cat is Tom"
    assert await by_words(store, "dog", "rex") == {}
    assert await by_words(store, "cat", "tom") == {"my cat is Tom": 2}
    [said] = await store.said("ann", [number], SearchFilter())
    assert (said.text, said.corrected) == ("my cat is Tom", True)
    path = await store.active_path("ann", "c")
    assert path is not None
    assert [node.message.text for node in path.nodes] == ["my dog is Rex", "nice"]


async def test_without_a_text_what_was_said_is_right_again(store: MemoryStore):
    await store.append([turn("r", "my dog is Rex")])
    number = await number_of(store, "my dog is Rex")
    await store.correct("ann", number, "my cat is Tom")
    restored = await store.correct("ann", number, "")
    assert restored is not None
    assert restored.text == "my dog is Rex"
    assert await by_words(store, "cat", "dog") == {"my dog is Rex": 1}
    [said] = await store.said("ann", [number], SearchFilter())
    assert not said.corrected


async def test_what_was_said_word_for_word_is_no_correction(store: MemoryStore):
    await store.append([turn("r", "my dog is Rex")])
    number = await number_of(store, "my dog is Rex")
    await store.correct("ann", number, "my dog is Rex")
    [said] = await store.said("ann", [number], SearchFilter())
    assert not said.corrected


async def test_a_correction_has_new_vectors_and_so_do_its_neighbours(store: MemoryStore):
    await store.append([turn("r", "one", "two", "three", "four")])
    east, north = unit(1, 0), unit(0, 1)
    await embed(store, one=east, two=east, three=east, four=east)
    assert await waiting_texts(store) == []
    await store.correct("ann", await number_of(store, "two"), "other")
    assert await waiting_texts(store) == ["one", "other", "three"]
    assert set(await by_meaning(store, east)) == {"one", "three", "four"}
    await embed(store, one=north, other=north, three=north)
    near = await by_meaning(store, north)
    assert near["other"] == 1
    waiting = await store.unembedded(9)
    assert waiting == []


async def test_a_vector_of_what_was_corrected_meanwhile_is_dropped(store: MemoryStore):
    await store.append([turn("r", "one", "two")])
    late = await store.unembedded(9)
    await store.correct("ann", await number_of(store, "one"), "other")
    await store.put_vectors("m", [(each, unit(1, 0)) for each in late])
    left = await store.unembedded(9)
    assert sorted({(each.line.text, each.before and each.before.text) for each in left}) == [
        ("other", None),
        ("two", "other"),
    ]
    assert set(await by_meaning(store, unit(1, 0))) == {"two"}


async def test_windows_are_made_of_corrections(store: MemoryStore):
    await store.append([turn("r", "one", "two")])
    await store.correct("ann", await number_of(store, "one"), "other")
    windows = [each for each in await store.unembedded(9) if each.before]
    assert [each.before.text for each in windows if each.before] == ["other"]


async def test_a_message_takes_its_pin_and_its_correction_with_it(store: MemoryStore):
    await store.append([turn("r", "one", "two")])
    number = await number_of(store, "two")
    await store.pin("ann", number, "")
    await store.correct("ann", number, "other")
    conversation = await store.conversation("ann", "c")
    assert conversation is not None
    assert await store.delete_message(conversation.key, number, NOW_US)
    assert await noted(store) == []
    assert await by_words(store, "other", "two") == {}
    again = await store.append([turn("r2", "one", "two")])
    assert [fate.name for fate in again] == ["STORED"]
    assert await by_words(store, "other", "two") == {"two": 1}


async def test_what_is_never_searched_can_be_corrected_and_still_is_not(store: MemoryStore):
    made = turn("r", "dog?", reply=assistant("made of memory"), generated_from_memory=True)
    await store.append([made])
    note = await store.correct("ann", await number_of(store, "made of memory"), "better")
    assert note is not None
    assert note.text == "better"
    assert await by_words(store, "made", "memory", "better") == {}


async def test_a_client_that_chats_among_notes_breaks_nothing(store: MemoryStore):
    await store.append([turn("r1", "hello", reply=assistant("hi"), conversation_id="notes ")])
    await remember(store, "tea", pinned=True)
    chat = turn("r2", "and?", reply=assistant("well"), conversation_id="notes ")
    await store.append([chat])
    await remember(store, "milk")
    assert await noted(store) == [("milk", False), ("tea", True)]
    assert await store.delete_turn("ann", "r2", NOW_US) is not None
    assert await store.delete_turn("ann", "r1", NOW_US) is not None
    assert await noted(store) == [("milk", False), ("tea", True)]
    assert await by_words(store, "tea", "milk") == {"tea": 1, "milk": 1}
