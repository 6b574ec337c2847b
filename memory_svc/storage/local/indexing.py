"""Keep the indexes of messages inside the transactions that add and remove them.

For each searchable message: its words (FTS5), its traits, and its places in the queue
of vectors to make. A window holds what its neighbours say, so it is made anew whenever
they change, and its vector goes with any of them that is deleted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import aiosqlite

from memory_svc.model import FIRST_PART, VectorKind
from memory_svc.retrieval.traits import traits_of
from memory_svc.storage.local.compaction import note_dead_words
from memory_svc.storage.local.rows import first_row, join_message
from svckit.sqlite import Database

_BATCH = 500
# Numbers of the full-text index begin with the owner's.
_OWNER_SHIFT = 40

_BEFORE = """
with recursive up (id, parent, searchable) as (
  select id, parent, searchable from message where id = :parent
  union all
  select m.id, m.parent, m.searchable from up join message as m on m.id = up.parent
  where not up.searchable
)
select id from up where searchable
"""

_NEIGHBOURS = """
select message from passage_trait where before in (select value from json_each(:ids))
union
select before from passage_trait where message in (select value from json_each(:ids))
"""

# Of the messages that go only those between messages that stay, or before one.
_FOLLOWED = """
with recursive gap (message, before) as (
  select message, before from passage_trait where message in (
    select before from passage_trait
    where before in (select value from json_each(:ids))
      and message not in (select value from json_each(:ids)))
  union
  select t.message, t.before from gap join passage_trait as t on t.message = gap.before
  where t.message in (select value from json_each(:ids))
)
select message, before from gap
"""

# Whoever is making a vector of what it said before must notice.
_WANT_AGAIN = """
insert into unembedded (message, kind, version) values (?, ?, 1)
on conflict (message, kind) do update set version = version + 1, attempts = 0, error = ''
"""

_WANT_PARTS = """
insert into unembedded (message, kind, version)
select p.id, :least + part.value, :version from passage as p
join json_each(spoken_parts(p.text)) as part where p.id = :message
"""

_WITHOUT_TRAITS = """
select p.id from passage as p left join passage_trait as t on t.message = p.id
where t.message is null order by p.id limit ?
"""


def first_number(owner: int) -> int:
    """Return the least number that a message of `owner` can have in the full-text index."""
    return owner << _OWNER_SHIFT


async def index_message(tx: aiosqlite.Connection, message_id: int) -> None:
    """Make a new message findable by words, and ask for its vectors."""
    await _index_words(tx, message_id)
    before = await _describe(tx, message_id)
    await _want(tx, [message_id], VectorKind.ALONE)
    await _want(tx, [message_id, before] if before else [message_id], VectorKind.WINDOW)
    await tx.execute(_WANT_PARTS, {"message": message_id, "version": 0, "least": FIRST_PART})


async def unindex_messages(tx: aiosqlite.Connection, ids: Sequence[int]) -> None:
    """Take messages that are about to be deleted out of the indexes."""
    await forget_words(tx, ids)
    neighbours = await _neighbours(tx, ids)
    await _drop_vectors(tx, neighbours, VectorKind.WINDOW)
    await _want(tx, neighbours, VectorKind.WINDOW)
    await _close_gap(tx, ids)


async def forget_words(tx: aiosqlite.Connection, ids: Sequence[int]) -> None:
    """Take the words of messages out of the full-text index, while they are still there."""
    await tx.execute(
        "insert into message_fts (message_fts, rowid, text, rest)"
        " select 'delete', id, text, rest from indexed_text"
        " where message in (select value from json_each(?))",
        (json.dumps(ids),),
    )
    await note_dead_words(tx)


async def index_again(tx: aiosqlite.Connection, message_id: int) -> None:
    """Index a message that says something else now; its words were forgotten before."""
    row = await first_row(tx, "select text from passage where id = ?", (message_id,))
    if row is None:
        return  # not one that is searched
    await _index_words(tx, message_id)
    traits = traits_of(row["text"])
    await tx.execute(
        "update passage_trait set length = ?, marks = ? where message = ?",
        (traits.length, traits.marks, message_id),
    )
    around = [message_id, *await _neighbours(tx, [message_id])]
    for kind, ids in ((VectorKind.ALONE, [message_id]), (VectorKind.WINDOW, around)):
        await _drop_vectors(tx, ids, kind)
        await tx.executemany(_WANT_AGAIN, [(each, kind) for each in ids])
    for table in ("vector", "unembedded"):
        await tx.execute(
            f"delete from {table} where message = ? and kind >= ?",  # noqa: S608  # of ours
            (message_id, FIRST_PART),
        )
    parts = {"message": message_id, "version": 1, "least": FIRST_PART}
    await tx.execute(_WANT_PARTS, parts)


async def follow_another(tx: aiosqlite.Connection, followed: int, instead: int) -> None:
    """Let what followed one message follow another."""
    await tx.execute("update passage_trait set before = ? where before = ?", (instead, followed))


async def describe_old_messages(database: Database) -> None:
    """Note the traits of messages that were stored before traits were kept."""
    while True:
        async with database.transaction() as tx:
            rows = list(await tx.execute_fetchall(_WITHOUT_TRAITS, (_BATCH,)))
            for row in rows:
                await _describe(tx, row["id"])
        if len(rows) < _BATCH:
            return


async def _describe(tx: aiosqlite.Connection, message_id: int) -> int:
    """Note a message's traits; return the searchable message it follows, 0 for none."""
    row = await first_row(
        tx,
        "select p.*, m.parent from passage as p join message as m on m.id = p.id where p.id = ?",
        (message_id,),
    )
    assert row is not None
    found = await first_row(tx, _BEFORE, {"parent": row["parent"]})
    before = found["id"] if found else 0
    traits = traits_of(row["text"])
    await tx.execute(
        "insert into passage_trait (message, owner, before, conversation, by_user, created_us,"
        " speaker, length, marks) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(message_id, row["owner"], before, row["conversation"], row["role"] == "user"),
            *(row["created_us"], join_message(row["text"], row["body"]).name),
            *(traits.length, traits.marks),
        ),
    )
    return before


async def _index_words(tx: aiosqlite.Connection, message_id: int) -> None:
    await tx.execute(
        "insert into message_fts (rowid, text, rest)"
        " select id, text, rest from indexed_text where message = ?",
        (message_id,),
    )


async def _neighbours(tx: aiosqlite.Connection, ids: Sequence[int]) -> list[int]:
    """Return the other messages whose windows hold any of these."""
    rows = await tx.execute_fetchall(_NEIGHBOURS, {"ids": json.dumps(ids)})
    return sorted({row["message"] for row in rows} - {0, *ids})


async def _drop_vectors(tx: aiosqlite.Connection, ids: Sequence[int], kind: VectorKind) -> None:
    await tx.execute(
        "delete from vector where kind = ? and message in (select value from json_each(?))",
        (kind, json.dumps(ids)),
    )


async def _want(tx: aiosqlite.Connection, ids: Sequence[int], kind: VectorKind) -> None:
    await tx.executemany(
        "insert or ignore into unembedded (message, kind) values (?, ?)",
        [(message_id, kind) for message_id in ids],
    )


async def _close_gap(tx: aiosqlite.Connection, ids: Sequence[int]) -> None:
    """Let what followed messages that go follow what they followed."""
    rows = await tx.execute_fetchall(_FOLLOWED, {"ids": json.dumps(ids)})
    followed = {row["message"]: row["before"] for row in rows}
    for gone in followed:
        kept = gone
        while kept in followed:
            kept = followed[kept]
        await follow_another(tx, gone, kept)
