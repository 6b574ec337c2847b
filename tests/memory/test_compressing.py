"""Whatever is stored in fewer bytes comes back as it was."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, Message
from memory_svc.kept import NewNote
from memory_svc.model import SearchFilter
from memory_svc.storage.base import MemoryStore
from memory_svc.storage.local.compressing import (
    packed_bytes,
    packed_text,
    plain_bytes,
    plain_text,
    text_size,
)
from memory_svc.storage.local.rows import join_message, split_message
from memory_svc.storage.local.store import open_local_store
from svckit.times import now_us
from tests.memory.chats import assistant, system, user
from tests.memory.stores import by_words, turn

TEXTS = st.tuples(st.text(), st.integers(0, 40)).map(lambda drawn: drawn[0] * drawn[1])
PARTS = st.one_of(
    TEXTS.map(lambda text: ContentPart(type="text", text=text)),
    st.just(ContentPart(type="image_url", extra_json=b'{"a": 1}')),
)
MESSAGES = st.one_of(
    TEXTS.map(user),
    st.just(Message(role="assistant", reasoning="long " * 99)),
    st.lists(PARTS, max_size=4).map(
        lambda parts: Message(role="user", parts=ContentParts(parts=parts))
    ),
)
LONG = "A long answer about xylophones and their keys. " * 20


@given(TEXTS)
@example("")
@example("é" * 5000)
@example("\x00" * 500)
def test_a_text_comes_back_and_its_size_is_known(text: str):
    packed = packed_text(text)
    assert plain_text(packed) == text
    assert text_size(packed) == len(text.encode())
    assert isinstance(packed, str) or len(packed) < len(text.encode())


@given(st.binary(max_size=400))
@example(b"\x28\xb5\x2f\xfd")
@example(b"\x28\xb5\x2f\xfd" + bytes(500))
@example(bytes(500))
def test_bytes_come_back_even_if_they_look_compressed(plain: bytes):
    assert plain_bytes(packed_bytes(plain)) == plain


@given(MESSAGES)
def test_a_message_comes_back_from_its_columns(message: Message):
    text, body = split_message(message)
    assert join_message(packed_text(text), body) == message


def test_no_text_of_a_message_is_kept_twice():
    parts = [ContentPart(type="text", text="first words"), ContentPart(type="text", text="second")]
    text, body = split_message(Message(role="user", parts=ContentParts(parts=parts)))
    assert text == "first words\nsecond"
    assert b"words" not in body
    assert b"second" not in body


async def test_a_long_text_is_found_shown_and_counted_like_a_short_one(store: MemoryStore):
    await store.append([turn("r", "which?", reply=assistant(LONG))])
    assert await by_words(store, "xylophones") == {LONG: 1}
    path = await store.active_path("ann", "c")
    assert path is not None
    assert [node.message for node in path.nodes] == [user("which?"), assistant(LONG)]
    found = await store.turn("ann", "r")
    assert found is not None
    assert found.reply is not None
    assert found.reply.message == assistant(LONG)
    assert (await store.stats("ann")).text_bytes == len(LONG) + len("which?")
    waiting = await store.unembedded(9)
    assert {each.line.text for each in waiting} == {"which?", LONG}


async def test_a_long_answer_made_of_memory_is_known_when_it_comes_back(store: MemoryStore):
    made = turn("r1", "dog?", reply=assistant(LONG), generated_from_memory=True)
    again = turn("r2", messages=(user("Dog?"), assistant(LONG), user("and?")))
    await store.append([made, again])
    assert await by_words(store, "xylophones") == {}


async def test_a_long_note_is_kept_once(store: MemoryStore):
    first = await store.remember("ann", "n", NewNote(LONG), now_us())
    assert await store.remember("ann", "n", NewNote(LONG), now_us()) == first
    await store.correct("ann", first.message_id, LONG)
    [said] = await store.said("ann", [first.message_id], SearchFilter())
    assert (said.text, said.corrected) == (LONG, False)


@pytest.mark.parametrize("delete", ["conversation", "turns"])
async def test_instructions_are_kept_once_and_as_long_as_any_chat_has_them(
    tmp_path: Path, delete: str
):
    told = system("Be brief about xylophones. " * 200)
    other = system("the date is today")
    path = tmp_path / "m.db"
    async with open_local_store(path) as store:
        for n in range(5):
            said = (told, user(f"{n}"))
            await store.append([turn(f"r{n}", messages=said, conversation_id=f"c{n}")])
        await store.append([turn("o", messages=(told, other, user("?")), conversation_id="o")])
        await store.append([turn("b", messages=(told, user("?")), user_id="bob")])
        assert texts_of_instructions(path) == 3
        for n in range(5):
            if delete == "turns":
                await store.delete_turn("ann", f"r{n}", now_us())
            else:
                await store.delete("ann", f"c{n}", now_us())
        assert texts_of_instructions(path) == 3
        kept = await store.active_path("ann", "o")
        assert kept is not None
        assert kept.system == (told, other)
        await store.delete("ann", "o", now_us())
        assert texts_of_instructions(path) == 1
        found = await store.turn("bob", "b")
        assert found is not None
        assert found.input[0].message == told


def texts_of_instructions(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        [row] = connection.execute("select count(*) from instruction_text")
        return int(row[0])
