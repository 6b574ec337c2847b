"""Vectors that named their model are kept, and found as before."""

import sqlite3
from contextlib import closing
from pathlib import Path

from memory_svc.storage.local.store import open_local_store
from tests.memory.checking import disagreements
from tests.memory.stores import MODEL, by_meaning, by_words, embed, turn, unit

BACKWARDS = """
create table named as select v.message, v.kind, m.name as model, v.vector
  from vector as v join embedding_model as m on m.key = v.model;
drop table vector;
drop table embedding_model;
create table vector (
  message integer not null references message on delete cascade,
  kind integer not null,
  model text not null,
  vector blob not null,
  primary key (message, kind)
) without rowid;
insert into vector select * from named;
drop table named;
create index vector_by_model on vector (model, kind);
update vector set model = 'older' where message = 2;
delete from migration where name = '0007_models.sql';
"""


async def test_vectors_stay_with_their_models(tmp_path: Path):
    path = tmp_path / "memory.db"
    async with open_local_store(path) as store:
        await store.append([turn("r1", "one", "two", "three")])
        await embed(store, one=unit(1, 0), two=unit(1, 1), three=unit(1, 2))
    with closing(sqlite3.connect(path)) as old:
        old.executescript(BACKWARDS)
    async with open_local_store(path) as store:
        assert set(await by_meaning(store, unit(1, 0))) == {"one", "three"}
        assert set(await by_meaning(store, unit(1, 0), model="older")) == {"two"}
        assert await by_words(store, "three", "two") == {"three": 1, "two": 1}
        assert (await store.index_counts(MODEL)).indexed == 2
        await store.await_vectors(MODEL)
        assert [each.line.text for each in await store.unembedded(9)] == ["two", "two"]
        await embed(store, two=unit(0, 1))
    assert disagreements(path) == []
