"""Request ids that were kept as texts are known by what they are now."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from memory_svc.model import Fate
from memory_svc.storage.local.request_ids import packed_id, plain_id
from memory_svc.storage.local.store import open_local_store
from svckit.times import now_us
from tests.memory.chats import NOW_US, assistant
from tests.memory.checking import disagreements
from tests.memory.stores import turn

ASKED = "01936f3a-0000-7000-8000-0123456789ab"
DELETED = "01936f3a-0001-7000-8000-0123456789ab"
ODD = "my-own-id"
BACKWARDS = """
drop trigger request_outlives_its_turn;
update message set request_id = unpacked(request_id);
update turn set request_id = unpacked(request_id);
update request set request_id = unpacked(request_id);
insert into request select owner, request_id, created_us from turn;
delete from migration where name = '0009_ids.sql';
"""


def backwards(path: Path) -> None:
    with closing(sqlite3.connect(path)) as old:
        old.create_function("unpacked", 1, plain_id, deterministic=True)
        old.executescript(BACKWARDS)
        ids = {row[0] for row in old.execute("select request_id from request")}
    assert ids >= {ASKED, ODD}


async def test_requests_are_known_again(tmp_path: Path):
    path = tmp_path / "memory.db"
    turns = [turn(name, name, reply=assistant("yes")) for name in (ASKED, ODD, DELETED)]
    async with open_local_store(path) as store:
        await store.append(turns)
        await store.delete_turn("ann", DELETED, now_us())
    backwards(path)
    async with open_local_store(path) as store:
        assert await store.append(turns) == [Fate.DUPLICATE, Fate.DUPLICATE, Fate.DELETED]
        for name in (ASKED, ODD):
            found = await store.turn("ann", name)
            assert found is not None
            assert [found.request_id, *(each.request_id for each in found.input)] == [name] * 2
    assert disagreements(path) == []


async def test_a_request_outlives_its_conversation(tmp_path: Path):
    path = tmp_path / "memory.db"
    async with open_local_store(path) as store:
        await store.append([turn(ASKED, "hello")])
        await store.delete("ann", "c", NOW_US - 1)
        # It was asked after the deletion, so that nothing but its id tells that it is old.
        again = [turn(ASKED, "hello", at_us=NOW_US + 1, conversation_id="d")]
        assert await store.append(again) == [Fate.DUPLICATE]


@pytest.mark.parametrize(
    "name", [ASKED, ASKED.upper(), ASKED.replace("-", ""), "{" + ASKED[:34] + "}", "x" * 36, ""]
)
def test_every_id_is_itself_again(name: str):
    assert plain_id(packed_id(name)) == name


def test_a_uuid_takes_16_bytes():
    assert packed_id(ASKED) == bytes.fromhex(ASKED.replace("-", ""))
