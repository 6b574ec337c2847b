"""What in a memory's database disagrees with the messages that are stored in it.

All that is derived from them is derived again here, from the rows alone: words by an index
made anew, neighbours by walking up the tree, shelves by what the rows say.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from memory_svc.model import FIRST_PART, VectorKind
from memory_svc.retrieval.traits import traits_of
from memory_svc.speech import parts
from memory_svc.storage.local.functions import FUNCTIONS
from memory_svc.storage.local.store import LocalStore

# None of these queries may return a row.
_NEVER = {
    "a message hangs in the air": """
select m.id from message as m left join message as p on p.id = m.parent
where m.parent <> 0 and (p.id is null or p.conversation <> m.conversation)""",
    "a message is not one further than what it follows": """
select m.id from message as m left join message as p on p.id = m.parent
where m.position <> coalesce(p.position, -1) + 1""",
    "a conversation ends in a message that is not its own": """
select c.key from conversation as c left join message as m on m.id = c.head
where c.head <> 0 and (m.id is null or m.conversation <> c.key)""",
    "a turn belongs to another than its conversation": """
select t.key from turn as t join conversation as c on c.key = t.conversation
where t.owner <> c.owner""",
    "a turn ends in a message that is not its conversation's": """
select t.key from turn as t join message as m on m.id in (t.input_end, t.answer)
where m.conversation <> t.conversation""",
    "a turn ends in no message": """
select t.key from turn as t where t.input_end not in (select id from message union select 0)
or t.answer not in (select id from message union select 0)""",
    "a searchable message has no traits": """
select p.id from passage as p left join passage_trait as t on t.message = p.id
where t.message is null""",
    "traits are of no searchable message": """
select t.message from passage_trait as t left join passage as p on p.id = t.message
where p.id is null""",
    "traits are of another message": """
select t.message from passage_trait as t join passage as p on p.id = t.message
where (t.owner, t.conversation, t.by_user, t.created_us)
  <> (p.owner, p.conversation, p.role = 'user', p.created_us)""",
    "a vector is of no searchable message": """
select v.message, v.kind from vector as v left join passage as p on p.id = v.message
where p.id is null""",
    "no searchable message waits for its vector": """
select u.message, u.kind from unembedded as u left join passage as p on p.id = u.message
where p.id is null""",
    "a recall quotes another user's message": """
select k.message from recall as r join recall_candidate as k on k.recall = r.key
join message as m on m.id = k.message join conversation as c on c.key = m.conversation
where c.owner <> r.owner""",
    "a note is of another than its message": """
select n.message from note as n join message as m on m.id = n.message
join conversation as c on c.key = m.conversation where c.owner <> n.owner""",
}

_EMBEDDED_OR_NOT = """
select message, kind from vector union select message, kind from unembedded
"""

_INDEX_ANEW = """
create virtual table anew.words using fts5 (text, rest, tokenize = 'porter unicode61');
insert into anew.words (rowid, text, rest) select id, text, rest from main.indexed_text;
create virtual table temp.stored using fts5vocab ('main', 'message_fts', 'instance');
create virtual table temp.expected using fts5vocab ('anew', 'words', 'instance');
"""


def disagreements(database: Path) -> list[str]:
    """List what disagrees in the file; nobody may be writing to it."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for name, function in FUNCTIONS.items():
            connection.create_function(name, 1, function, deterministic=True)
        return [*_damage(connection), *_rows(connection), *_derived(connection)]


async def shelf_disagreements(store: LocalStore) -> list[str]:
    """List what loaded shelves hold otherwise than the rows."""
    found = []
    for owner in list(store._shelves._loaded):
        shelf = await store._shelves.shelf(owner)  # takes in what came since
        rows = await store._database.fetch(
            "select message, before from passage_trait where owner = ? order by message", (owner,)
        )
        if shelf.ids.tolist() != [row["message"] for row in rows]:
            found.append(f"the shelf of {owner} holds {shelf.ids.tolist()}")
            continue
        places = shelf.places(np.array([row["before"] for row in rows], dtype=np.int64))
        if shelf.befores[:-1].tolist() != places.tolist():
            found.append(f"on the shelf of {owner} other messages come before")
        for kind in VectorKind if shelf.model else ():
            found += await _vectors(store, owner, kind)
        found += await _parts(store, owner)
    return found


async def _vectors(store: LocalStore, owner: int, kind: VectorKind) -> list[str]:
    """Compare each vector on a shelf with the row's, by its cosine to a probe."""
    shelf = store._shelves._loaded[owner]
    rows = await store._database.fetch(
        "select v.message, v.vector from vector as v join passage_trait as t"
        " on t.message = v.message where t.owner = ? and v.kind = ? and v.model = ?"
        " and length(v.vector) = ?",
        (owner, kind, shelf.model, shelf.dimensions),
    )
    stored = {row["message"]: np.frombuffer(row["vector"], dtype=np.int8) for row in rows}
    probe = np.random.default_rng(owner).normal(size=shelf.dimensions).astype(np.float32)
    probe /= np.linalg.norm(probe)
    expected = [_cosine(stored.get(message), probe) for message in shelf.ids.tolist()]
    held = np.zeros(len(shelf), dtype=np.float32)
    if kind in shelf.vectors:
        held = shelf.vectors[kind].cosines(probe, np.arange(len(shelf)))
    wrong = np.abs(held - np.array(expected, dtype=np.float32)) > 0.02
    return [
        f"on the shelf of {owner} message {message} has another vector ({kind.name})"
        for message in shelf.ids[wrong].tolist()
    ]


async def _parts(store: LocalStore, owner: int) -> list[str]:
    """Compare the parts on a shelf with the rows, by all of their cosines to a probe."""
    shelf = store._shelves._loaded[owner]
    if shelf.parts is None:
        return []
    rows = await store._database.fetch(
        "select v.message, v.vector from vector as v join passage_trait as t"
        " on t.message = v.message where t.owner = ? and v.kind >= ? and v.model = ?"
        " and length(v.vector) = ?",
        (owner, FIRST_PART, shelf.model, shelf.dimensions),
    )
    probe = np.full(shelf.dimensions, shelf.dimensions**-0.5, dtype=np.float32)
    stored = [(row["message"], np.frombuffer(row["vector"], dtype=np.int8)) for row in rows]
    expected = sorted((message, _cosine(each, probe)) for message, each in stored)
    messages = shelf.ids[shelf.parts._places].tolist()
    cosines = shelf.parts.vectors.cosines(probe, np.arange(len(messages)))
    held = sorted(zip(messages, cosines.tolist(), strict=True))
    same = len(held) == len(expected) and np.allclose(held, expected, rtol=0, atol=0.02)
    return [] if same else [f"the shelf of {owner} has other parts: {held}"]


def _cosine(packed: np.ndarray | None, probe: np.ndarray) -> float:
    if packed is None or not packed.any():
        return 0.0
    vector = packed.astype(np.float32)
    return float(vector @ probe / np.linalg.norm(vector))


def _damage(connection: sqlite3.Connection) -> Iterator[str]:
    for row in connection.execute("pragma integrity_check"):
        if row[0] != "ok":
            yield f"the file is damaged: {row[0]}"
    for row in connection.execute("pragma foreign_key_check"):
        yield f"a row refers to nothing: {tuple(row)}"
    try:
        connection.execute("insert into message_fts (message_fts) values ('integrity-check')")
    except sqlite3.DatabaseError as error:
        yield f"the index of words is damaged: {error}"


def _rows(connection: sqlite3.Connection) -> Iterator[str]:
    for sentence, query in _NEVER.items():
        if rows := connection.execute(query).fetchall():
            yield f"{sentence}: {rows}"


def _derived(connection: sqlite3.Connection) -> Iterator[str]:
    traits = connection.execute(
        "select t.message, t.before, t.length, t.marks, p.text"
        " from passage_trait as t join passage as p on p.id = t.message"
    ).fetchall()
    parents = dict(connection.execute("select id, parent from message"))
    searchable = {row[0] for row in traits}
    for message, before, length, marks, text in traits:
        above = parents[message]
        while above and above not in searchable:
            above = parents[above]
        if before != above:
            yield f"{message} comes after {before} instead of {above}"
        read = traits_of(text)
        if (length, marks) != (read.length, read.marks):
            yield f"{message} has traits of another text"
    embedded = set(connection.execute(_EMBEDDED_OR_NOT))
    wanted = {(message, kind) for message, *_, text in traits for kind in _kinds(text)}
    if missing_vectors := wanted - embedded:
        yield f"these neither have a vector nor wait for it: {sorted(missing_vectors)}"
    if stray_vectors := embedded - wanted:
        yield f"these are of nothing that is said: {sorted(stray_vectors)}"
    connection.execute("attach ':memory:' as anew")
    connection.executescript(_INDEX_ANEW)
    stored, expected = (
        Counter(connection.execute(f"select doc, col, term, offset from temp.{table}"))
        for table in ("stored", "expected")
    )
    if stray := stored - expected:
        yield f"words of nothing are in the index: {sorted(stray)[:9]}"
    if missing := expected - stored:
        yield f"words are missing from the index: {sorted(missing)[:9]}"


def _kinds(text: str) -> list[int]:
    """Return the kinds of vectors that a message of this text has."""
    return [*VectorKind, *(FIRST_PART + number for number in parts(text))]
