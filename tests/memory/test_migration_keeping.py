"""A database of before notes and compression: all is there, in fewer bytes, kept once."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, Message
from memory_svc.kept import NewNote
from memory_svc.model import StoredMessage
from memory_svc.storage.local.store import LocalStore, open_local_store
from memory_svc.tree import ROOT, chain, text_of
from svckit.times import now_us
from tests.memory.chats import NOW_US, assistant, system, user
from tests.memory.checking import disagreements
from tests.memory.stores import by_words

LONG = "A long answer about xylophones, which was kept as it is. " * 30
TOLD = system("Be brief. " * 100)
PICTURE = Message(
    role="user",
    parts=ContentParts(
        parts=[
            ContentPart(type="text", text="look at this"),
            ContentPart(type="image_url", extra_json=b'{"x": "' + b"y" * 500 + b'"}'),
            ContentPart(type="text", text="and tell me"),
        ]
    ),
)
SAID = [user("my dog is Rex"), assistant(LONG), PICTURE, assistant("well")]
RECORD = json.dumps({"metadata": {"a": "b"}, "more": "x" * 500}).encode()


def columns(message: Message) -> tuple[str | None, bytes]:
    """Return `text` and `body` as they were then."""
    if message.HasField("parts"):
        return text_of(message), message.SerializeToString()
    rest = Message(role=message.role)
    return message.text, rest.SerializeToString()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "memory.db"
    scripts = sorted((files("memory_svc.storage.local") / "sql").iterdir(), key=lambda s: s.name)
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("create table migration (name text primary key, at_us integer) without rowid")
        for script in scripts[:5]:
            old.executescript(script.read_text())
            old.execute("insert into migration values (?, 0)", (script.name,))
        old.execute("insert into owner values (1, 'ann')")
        for key in (1, 2):
            old.execute(
                "insert into conversation values (?, 1, ?, '', '', 'my dog is Rex', '[]', '{}',"
                " ?, ?, ?, 9, x'77', 1)",
                (key, f"c{key}", NOW_US, NOW_US, len(SAID) if key == 1 else 0),
            )
            old.execute(
                "insert into instruction values (?, x'77', 0, ?, ?)",
                (key, 100 + key, TOLD.SerializeToString(deterministic=True)),
            )
        for n, (said, path_hash) in enumerate(zip(SAID, chain(ROOT, SAID), strict=True)):
            text, body = columns(said)
            old.execute(
                "insert into message (conversation, parent, position, hash, role, text, body,"
                " created_us, request_id, searchable) values (1, ?, ?, ?, ?, ?, ?, ?, 'r', 1)",
                (n, n, path_hash, said.role, text, body, NOW_US),
            )
            old.execute("insert into unembedded (message, kind) values (?, 0), (?, 1)", [n + 1] * 2)
        old.execute("insert into message_fts (message_fts) values ('rebuild')")
        old.execute("insert into request values (1, 'r', ?)", (NOW_US,))
        old.execute(
            "insert into turn values (1, 1, 'r', 1, ?, '', x'77', 3, 3, 4, ?, '', '', null, 0,"
            " 'stop', ?, '{}')",
            (NOW_US, assistant(LONG + "!").SerializeToString(), RECORD),
        )
        old.execute(
            "insert into other_reply values (1, 0, ?)", (assistant(LONG).SerializeToString(),)
        )
        old.execute("insert into recall values (1, 1, 'q', 'c1', ?, 'dog?', '')", (now_us(),))
        old.execute("insert into recall_candidate values (1, 0, 2, 0.5, null, null, ?)", (LONG,))
    yield path
    assert disagreements(path) == []


async def messages(store: LocalStore) -> list[StoredMessage]:
    conversation = await store.conversation("ann", "c1")
    assert conversation is not None
    return await store.messages(conversation.key, -1, 100, include_inactive=True)


async def test_all_that_was_said_is_there(database: Path):
    async with open_local_store(database) as store:
        assert [each.message for each in await messages(store)] == SAID
        path = await store.active_path("ann", "c1")
        assert path is not None
        assert path.system == (TOLD,)
        turn = await store.turn("ann", "r")
        assert turn is not None
        assert [each.message for each in turn.input] == [TOLD, *SAID[:3]]
        assert turn.reply is not None
        assert turn.reply.message == assistant(LONG + "!")
        assert turn.other_replies == (assistant(LONG),)
        assert turn.record == RECORD
        recall = await store.recall("ann", "q")
        assert recall is not None
        assert [quote.text for quote in recall.quotes] == [LONG]
        assert (recall.project, recall.candidates[0].text) == ("", LONG)
        assert await by_words(store, "xylophones", "dog", "look") == {
            LONG: 1,
            "my dog is Rex": 1,
            "look at this\nand tell me": 1,
        }


async def test_nothing_is_kept_twice_or_longer_than_it_must_be(database: Path):
    async with open_local_store(database):
        pass
    content = await asyncio.to_thread(database.read_bytes)
    assert LONG[:200].encode() not in content
    assert content.count(b"look at this") == 1
    with closing(sqlite3.connect(database)) as connection:
        [count] = connection.execute("select count(*) from instruction_text")
        assert count == (1,)


async def test_what_is_deleted_afterwards_is_gone(database: Path):
    async with open_local_store(database) as store:
        note = await store.remember("ann", "notes", NewNote("tea"), NOW_US)
        assert note.message_id > max(each.id for each in await messages(store))
        assert await store.delete("ann", "c1", NOW_US) == len(SAID)
        assert await by_words(store, "xylophones", "dog", "tea") == {"tea": 1}
        kept = await store.active_path("ann", "c2")
        assert kept is not None
        assert kept.system == (TOLD,)
